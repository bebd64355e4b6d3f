"""What a change of a consortium came to becomes lines for a person, or one JSON object; shared by its commands."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fedcredit.trust.manifest import Manifest
    from server.consortium.home import Consortium, Outcome
    from server.consortium.pending import Pending

Home = Annotated[Path | None, typer.Option("--home", help="The consortium's folder; else FEDCREDIT_HOME/consortium.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Keys = Annotated[
    list[str] | None,
    typer.Option("--officer", help="Key file of an officer who signs, or a name in officers/; else all keys there."),
]
Rehearsal = Annotated[bool, typer.Option("--dry-run", help="Show what would change; sign and write nothing.")]


def now() -> datetime:
    """This moment."""
    return datetime.now(UTC)


def opened(home: Path | None) -> Consortium:
    """The consortium in the folder that was named, or in the usual one."""
    from server.consortium.home import Consortium
    from server.consortium.settings import default_folder

    return Consortium.open(home or default_folder())


def said(facts: Mapping[str, Any], lines: Sequence[str], *, as_json: bool) -> None:
    """Print the one or the other on stdout."""
    typer.echo(json.dumps(facts, ensure_ascii=False) if as_json else "\n".join(lines))


def proposed(
    kept: Consortium, change: Pending, *, officer: Sequence[str] | None, dry_run: bool, as_json: bool
) -> Outcome | None:
    """Show the change, sign it, and print what came of it; a dry run only shows it."""
    from server.consortium.home import Waiting

    lines = described(kept.current() if kept.file.path.exists() else None, change)
    for line in lines:
        typer.echo(line, err=True)
    if dry_run:
        said({"change": change.change, "dry_run": True, "changes": lines}, [f"would {change.change}"], as_json=as_json)
        return None
    outcome = kept.propose(change, by=kept.keys(officer or (), change), now=now())
    files = [] if isinstance(outcome, Waiting) else list(outcome.answers.values())
    shown(kept, outcome, as_json=as_json, more={"changes": lines}, files=files)
    return outcome


def described(current: Manifest | None, change: Pending) -> list[str]:
    """What the change changes in the manifest in force, line by line: what an officer reads before signing."""
    from fedcredit.trust.handover import officers_in
    from server.consortium.answers import answer_lines
    from server.consortium.changes import changes

    if not change.handover:
        return changes(current, change.draft()) + answer_lines(change)
    new = officers_in(change.handover.encode())
    before = dict(current.officers) if current else {}
    lines = [f"handover: {new.threshold} of {', '.join(new.identities)} sign from version {new.version} on"]
    lines += [f"- officer {name}" for name in before if name not in new.identities]
    return lines + [
        f"{'!' if name in before else '+'} officer {name}: {identity.fingerprint[:16]}"
        for name, identity in new.identities.items()
        if before.get(name) != identity
    ]


def shown(
    kept: Consortium,
    outcome: Outcome,
    *,
    as_json: bool,
    more: Mapping[str, Any] | None = None,
    files: Sequence[Path] = (),
) -> None:
    """Print what came of a change: in force with its fingerprint, or who has to sign it too."""
    from fedcredit.trust.fingerprint import spaced
    from server.consortium.home import Waiting

    facts = dict(more or {})
    if isinstance(outcome, Waiting):
        missing = {group: {"needed": one.needed, "of": list(one.of)} for group, one in outcome.missing.items()}
        typer.echo(f"{outcome.change!r} waits in {kept.places.pending}; still to sign: {outcome}", err=True)
        typer.echo("each of them runs the same command, or fedcredit consortium sign, with --officer KEY;", err=True)
        typer.echo("or at home, on a copy of that file: fedcredit consortium countersign", err=True)
        waits = {"change": outcome.change, "in_force": False, "missing": missing}
        said(facts | waits, [f"waiting: {outcome}"], as_json=as_json)
        return
    manifest = outcome.manifest
    typer.echo(f"version {manifest.version} is in force until {manifest.expires:%Y-%m-%d}", err=True)
    typer.echo(f"fingerprint of {manifest.consortium}, to be read on the telephone:", err=True)
    typer.echo(f"  {spaced(manifest.root_fingerprint)}", err=True)
    facts |= {"in_force": True, "version": manifest.version, "fingerprint": manifest.root_fingerprint}
    said(
        facts | {"files": [str(path) for path in files]},
        [str(path) for path in files] or [f"version {manifest.version}"],
        as_json=as_json,
    )
