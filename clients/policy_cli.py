"""`fedcredit node policy show | sign | check | stop | resume`: what this institution allows, and the kill switch."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

policy = typer.Typer(name="policy", no_args_is_help=True, help="Show, sign, check, stop and resume the policy.")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
HomeFolder = Annotated[
    Path | None, typer.Option("--home", help="The node's folder; else the only one on this machine.")
]
OfficerKey = Annotated[Path | None, typer.Option("--key", help="The officer's key; else officer.key in the folder.")]


@policy.callback()
def policy_main() -> None:
    """Show, sign, check, stop and resume the policy."""


@policy.command("show")
def show_policy(home: HomeFolder = None, as_json: Json = False) -> None:
    """Say in sentences what the policy allows, and whether the officer's signature holds."""
    from clients.folder import policy_fault
    from clients.home import find_home
    from clients.plain_policy import in_plain_words
    from clients.policy_file import parse_policy, read_text

    node = find_home(home)
    said = parse_policy(read_text(node.policy), where=node.policy.name)
    fault = policy_fault(node)
    if as_json:
        facts = {"policy": json.loads(json.dumps(asdict(said), default=str)), "in_words": in_plain_words(said)}
        typer.echo(json.dumps({**facts, "signed": fault is None}, ensure_ascii=False))
        return
    typer.echo(f"{node.policy}: {'signed' if fault is None else f'NOT IN FORCE, everything is refused ({fault})'}")
    typer.echo("\n".join(f"  {line}" for line in in_plain_words(said)))


@policy.command("sign")
def sign(home: HomeFolder = None, key: OfficerKey = None, as_json: Json = False) -> None:
    """Sign the policy as it stands; the node follows it from its next message on."""
    from clients.folder import log_of, officer_of, require_own
    from clients.home import find_home
    from clients.policy_file import sign_policy, signature_path
    from clients.policy_number import Highest

    node = find_home(home)
    said = sign_policy(node.policy, officer=officer_of(node, key), log=log_of(node))
    require_own(node, said)
    number = Highest(node.policy).known().number
    facts = {"signed": str(node.policy), "signature": str(signature_path(node.policy)), "expires": str(said.expires)}
    if as_json:
        typer.echo(json.dumps({**facts, "number": number}, ensure_ascii=False))
        return
    typer.echo(f"signed {node.policy}, number {number}, until {said.expires}")


@policy.command("check")
def check(
    file: Annotated[Path | None, typer.Argument(help="A draft; else the policy in force, signature too.")] = None,
    home: HomeFolder = None,
    as_json: Json = False,
) -> None:
    """Read a policy strictly, and verify the signature of the one in force; an error if it does not hold."""
    from clients.folder import require_own
    from clients.home import find_home
    from clients.plain_policy import in_plain_words
    from clients.policy_file import parse_policy, read_officer, read_text, verified_policy

    if file is not None:
        said = parse_policy(read_text(file), where=file.name)
    else:
        node = find_home(home)
        said = verified_policy(node.policy, officer=read_officer(node.officer_public))
        require_own(node, said)
    days = (said.expires - datetime.now(UTC).date()).days
    facts = {"institution": said.institution, "days_left": days, "stopped": said.stopped, "signed": file is None}
    if as_json:
        typer.echo(json.dumps({**facts, "in_words": in_plain_words(said)}, ensure_ascii=False))
        return
    typer.echo(f"a policy of {said.institution}, {days} days left" + ("" if file else ", signed by the officer"))
    typer.echo("\n".join(f"  {line}" for line in in_plain_words(said)))


@policy.command("stop")
def stop(home: HomeFolder = None, key: OfficerKey = None, as_json: Json = False) -> None:
    """The kill switch: from its next message on the node refuses everything, and what is being trained stays.

    Without the officer's key the policy is no longer the signed one, which refuses everything too.
    """
    _turn(home, key, is_stopped=True, as_json=as_json)


@policy.command("resume")
def resume(home: HomeFolder = None, key: OfficerKey = None, as_json: Json = False) -> None:
    """Turn the kill switch back; it takes the officer's key."""
    _turn(home, key, is_stopped=False, as_json=as_json)


def _turn(home: Path | None, key: Path | None, *, is_stopped: bool, as_json: bool) -> None:
    from clients.folder import log_of, officer_of
    from clients.home import find_home
    from clients.policy_file import set_stopped

    node = find_home(home)
    here = key or node.officer
    officer = officer_of(node, key) if key is not None or not is_stopped or here.exists() else None
    is_signed = set_stopped(node.policy, is_stopped=is_stopped, officer=officer, log=log_of(node))
    if as_json:
        typer.echo(json.dumps({"stopped": is_stopped, "signed": is_signed}))
        return
    typer.echo("stopped: the next message is refused" if is_stopped else "resumed: the next message is answered")
    if not is_signed:
        typer.echo("unsigned, so it answers nothing until the officer signs the policy again", err=True)
