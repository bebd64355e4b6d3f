"""`fedcredit node leaves`: before a study everything that will leave this institution, and after it what did."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedcredit.errors import ConfigError

if TYPE_CHECKING:
    from clients.home import NodeHome
    from clients.leaves import Field, Summary

leaving = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
HomeFolder = Annotated[
    Path | None, typer.Option("--home", help="The node's folder; else the only one on this machine.")
]


LATEST = "latest"
MAX_NAMED = 12  # runs of a hint


@leaving.command("leaves")
def leaves(
    study: Annotated[str, typer.Argument(help="A study of the manifest; else whatever any study may send.")] = "",
    run: Annotated[
        str | None,
        typer.Option("--run", help="What did leave in this run, or the `latest`: audit log."),
    ] = None,
    home: HomeFolder = None,
    as_json: Json = False,
) -> None:
    """Before a study, everything that will leave, field by field; with --run, what did, from the audit log."""
    from clients.folder import identity_of
    from clients.home import find_home

    node = find_home(home)
    if run is not None:
        from clients.audit_log import read_log
        from clients.leaves import did_leave, runs_of

        entries = list(read_log(node.audit_log, public=identity_of(node).public))
        known = runs_of(entries, study=study)
        run = known[0] if known and run == LATEST else run
        if run not in known:
            hint = f"it has, newest first: {', '.join(known[:MAX_NAMED]) or 'none'}; or take --run {LATEST}"
            raise ConfigError("--run", found="a run that the log does not know", expected="one that it has", hint=hint)
        found = did_leave(entries, run=run, study=study)
        typer.echo(json.dumps(asdict(found), ensure_ascii=False) if as_json else "\n".join(_summary(run, found)))
        return
    _before(node, study, as_json=as_json)


def _before(node: NodeHome, study: str, *, as_json: bool) -> None:
    from clients.folder import columns_of, policy_fault, rule_of
    from clients.leaves import Fixed, fixed_by, will_leave
    from clients.outlook import outlook
    from clients.policy_file import parse_policy, read_text

    rule = rule_of(node, study) if study else None
    columns, level = columns_of(node)
    said = parse_policy(read_text(node.policy), where=node.policy.name)
    schema = rule.schema if rule is not None else {}
    fields = will_leave(fixed_by(schema) if rule else Fixed(), level=level, metrics_allowed=said.metrics)
    facts: dict[str, Any] = {"study": study or None, "level": level, "policy_fault": policy_fault(node)}
    if rule is not None:
        now = datetime.now(UTC)
        found = outlook(said, study=study, purpose=rule.purpose, schema=schema, columns=columns, at=now)
        until = rule.until.isoformat()
        facts |= {"purpose": rule.purpose, "until": until, "columns": list(columns), "outlook": asdict(found)}
    if as_json:
        typer.echo(json.dumps({**facts, "fields": [asdict(one) for one in fields]}, ensure_ascii=False, default=str))
        return
    typer.echo("\n".join(_outlook_lines(facts) + _field_lines(fields)))


def _outlook_lines(facts: dict[str, Any]) -> list[str]:
    lines = []
    if facts["policy_fault"]:
        lines.append(f"policy: NOT IN FORCE, everything is refused ({facts['policy_fault']})")
    if facts["study"] is None:
        return [*lines, "whatever any study may send (name a study for what it will):"]
    found = facts["outlook"]
    lines += [
        f"study {facts['study']}: for {facts['purpose']}, until {facts['until']}",
        f"policy: {found['outcome']}" + "".join(f"; {why}" for why in found["why"]),
    ]
    if found["terms"]:
        terms = found["terms"]
        lines.append(f"  trained at epsilon {terms['epsilon']:g}, delta {terms['delta']:g}, clip {terms['clip']:g}")
    if found["left_open"]:
        lines.append(f"  decided with each message, since the study leaves it open: {', '.join(found['left_open'])}")
    return [*lines, f"columns that are used and stay here: {', '.join(facts['columns']) or 'not known yet'}"]


def _field_lines(fields: list[Field]) -> list[str]:
    words = {True: "yes", False: "no", None: "may"}
    lines = ["sent  level  message            field                     what"]
    for one in fields:
        if one.is_sent is not False:
            head = f"{words[one.is_sent]:4}  {one.level:5}  {one.message:17}  {one.key:24}"
            lines.append(f"{head}  {one.holds}")
    never = sorted({one.message for one in fields} - {one.message for one in fields if one.is_sent is not False})
    if never:
        lines.append(f"not sent in this study: {', '.join(never)}")
    return [*lines, "and on an error one word of a closed list, such as budget or policy"]


def _summary(run: str, found: Summary) -> list[str]:
    lines = [f"run {run}: {found.questions} questions answered, {found.bytes} bytes left"]
    for one in found.left:
        rounds = f", rounds {one.rounds[0]} to {one.rounds[-1]}" if one.rounds else ""
        lines.append(f"  {one.message:17} {one.count:5} x, {one.bytes} bytes{rounds}")
        lines += [f"      {what}" for what in (*one.keys, *one.arrays)]
    if found.charges:
        whole = (
            [] if found.epsilon_of_run is None else [f"epsilon of the run {found.epsilon_of_run:g} when it is whole"]
        )
        if found.epsilon_metrics is not None:
            whole.append(f"of all evaluations of the study {found.epsilon_metrics:g}")
        spent = ", ".join([f"{found.charges} charges", *whole])
        lines.append(f"  {spent}; lifetime {found.lifetime_after:.3f} with it")
    lines += [f"  not answered: {count} x {code}" for code, count in found.refused.items()]
    return lines
