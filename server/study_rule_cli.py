"""`fedcredit consortium study`: the studies that members have agreed to, in the signed manifest."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.consortium_output import Home, Json, Keys, Rehearsal, now, opened, proposed, said

if TYPE_CHECKING:
    from fedcredit.trust.manifest import Manifest

study = typer.Typer(name="study", no_args_is_help=True, help="Allow and forbid studies in the signed manifest.")


@study.command("allow")
def allow_study(
    name: str,
    purpose: Annotated[str, typer.Option(help="Why it is run; an institution's policy allows purposes.")],
    until: Annotated[str | None, typer.Option(help="The last day, such as 2027-12-31; else a year from now.")] = None,
    bundle: Annotated[
        list[str] | None,
        typer.Option(help="SHA-256 of a Flower bundle that may run it; else that of this installation."),
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(help="JSON-schema (draft 2020-12) of the task; else the widest that is ever allowed.")
    ] = None,
    epsilon: Annotated[float | None, typer.Option(help="Most epsilon of a run; makes privacy a must.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Most rounds of a run; makes privacy a must.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Kind of model that may be trained; else any.")] = None,
    feature: Annotated[list[str] | None, typer.Option(help="Input column that it may name; else any.")] = None,
    masked: Annotated[bool, typer.Option("--masked", help="Updates leave in masked sums only.")] = False,
    no_metrics: Annotated[bool, typer.Option("--no-metrics", help="No exact validation counts.")] = False,
    officer: Keys = None,
    home: Home = None,
    dry_run: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Allow a study: its purpose, the code that may run it, the parameters that it may ask for, its last day."""
    from fedcredit.trust.manifest import StudyRule
    from server.bundle import bundle as installed
    from server.consortium.studies import Limits, a_year_from, allowed, last_moment, narrowed, read_schema, task_schema

    kept = opened(home)
    limits = Limits(epsilon, rounds, tuple(model or ()), tuple(feature or ()), masked, not no_metrics)
    task = narrowed(read_schema(schema) if schema else task_schema(), study=name, limits=limits)
    bundles = tuple(sorted(set(bundle or [installed().sha256])))

    def draft(at: datetime) -> Manifest:  # of the draft's own moment, so that the officers' days do not differ
        last = last_moment(until) if until else a_year_from(at)
        return allowed(kept, StudyRule(name, purpose, bundles, task, last), now=at)

    change = kept.prepared(f"study allow {name}", draft, now=now())
    proposed(kept, change, officer=officer, dry_run=dry_run, as_json=as_json)


@study.command("forbid")
def forbid_study(
    name: str, officer: Keys = None, home: Home = None, dry_run: Rehearsal = False, as_json: Json = False
) -> None:
    """Forbid a study: nodes refuse it as soon as they have the new manifest."""
    from server.consortium.studies import forbidden

    kept = opened(home)
    change = kept.prepared(f"study forbid {name}", lambda at: forbidden(kept, name, now=at), now=now())
    proposed(kept, change, officer=officer, dry_run=dry_run, as_json=as_json)


@study.command("show")
def show_study(name: str, home: Home = None, as_json: Json = False) -> None:
    """Print the rule of a study as nodes apply it, with its JSON-schema."""
    import json

    from fedcredit.errors import ConfigError
    from fedcredit.trust.words import moment_text

    manifest = opened(home).current()
    rule = manifest.rule_for(name)
    if rule is None:
        known = ", ".join(one.study for one in manifest.studies) or "none yet"
        raise ConfigError("NAME", found=f"no study {name}", expected=f"one of {known}")
    facts = {
        "study": rule.study,
        "purpose": rule.purpose,
        "bundles": list(rule.bundles),
        "until": moment_text(rule.until),
        "schema": dict(rule.schema),
    }
    said(facts, [json.dumps(facts, ensure_ascii=False, indent=1)], as_json=as_json)
