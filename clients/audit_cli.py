"""`fedcredit node log | verify`: what this node was asked and sent, and whether nothing is lost."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

recorded = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
HomeFolder = Annotated[
    Path | None, typer.Option("--home", help="The node's folder; else the only one on this machine.")
]
MAX_SHOWN = 1000


@recorded.command("log")
def log(
    last: Annotated[int, typer.Option(help="Show the newest so many entries.", min=1, max=MAX_SHOWN)] = 20,
    verify: Annotated[bool, typer.Option("--verify", help="Only verify: the chain and every signature.")] = False,
    export: Annotated[Path | None, typer.Option(help="Write the log as one file that others can verify.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Read an exported log instead; needs no folder.")] = None,
    fingerprint: Annotated[str, typer.Option(help="With --file: of the node that it must come from.")] = "",
    home: HomeFolder = None,
    as_json: Json = False,
) -> None:
    """Show, verify or export the audit log; always verified first."""
    from clients.folder import identity_of, institution_name
    from clients.home import find_home

    if file is not None:
        from clients.audit_export import read_export

        entries, where = read_export(file, fingerprint=fingerprint).entries, str(file)
    else:
        from clients.audit_log import read_log

        node = find_home(home)
        where = str(node.audit_log)
        if export is not None:
            from clients.audit_export import export_log

            number = export_log(
                node.audit_log, export, institution=institution_name(node), identity=(mine := identity_of(node))
            )
            facts = {"exported": str(export), "entries": number, "fingerprint": mine.public.fingerprint}
            text = (
                f"{number} entries in {export}; to verify: --file {export} --fingerprint {mine.public.fingerprint[:16]}"
            )
            typer.echo(json.dumps(facts, ensure_ascii=False) if as_json else text)
            return
        entries = list(read_log(node.audit_log, public=identity_of(node).public))
    shown = [] if verify else [_shown(entry.seq, entry.time, entry.event, entry.facts) for entry in entries[-last:]]
    if as_json:
        facts = {"log": where, "entries": len(entries), "verified": True, "head": entries[-1].hash if entries else None}
        newest = [{"seq": e.seq, "time": e.time, "event": e.event, **e.facts} for e in entries[-last:]]
        typer.echo(json.dumps({**facts, **({} if verify else {"newest": newest})}, ensure_ascii=False))
        return
    typer.echo("\n".join([f"{where}: {len(entries)} entries, chain and signatures verified", *shown]))


@recorded.command("verify")
def verify_all(home: HomeFolder = None, as_json: Json = False) -> None:
    """Hold ledger, audit log and masks against each other: nothing is lost, nothing was done twice. Exit 1 if not."""
    from clients.folder import identity_of
    from clients.home import find_home
    from clients.institution import MASKS_FILE
    from clients.verify import verify_node

    node = find_home(home)
    found = verify_node(
        ledger=node.ledger, audit=node.audit_log, masks=node.state / MASKS_FILE, public=identity_of(node).public
    )
    if as_json:
        typer.echo(json.dumps({**asdict(found), "agree": not found.faults}, ensure_ascii=False))
    else:
        typer.echo(
            f"ledger: {found.ledger_entries} entries, {found.charges} charges; "
            f"audit log: {found.audit_entries} entries, {found.left} answers; masks: {found.sums} sums"
        )
        lines = [f"{fault.place}: {fault.found}" for fault in found.faults]
        typer.echo("\n".join(lines) if lines else "they agree: nothing is lost, nothing was done twice")
    if found.faults:
        raise typer.Exit(1)


def _shown(seq: int, time: str, event: str, facts: Any) -> str:
    names = ("type", "study", "run", "round", "attempt", "code", "decision", "bytes", "aside", "number")
    said = "  ".join(f"{name} {facts[name]}" for name in names if facts.get(name) not in (None, ""))
    return f"{seq:6}  {time[:19]}  {event:8}{said}{''.join(f'  ({why})' for why in facts.get('why', []))}"
