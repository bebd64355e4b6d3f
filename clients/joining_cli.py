"""`fedcredit node request | join | leave`: an institution asks to be let in, is let in, and goes."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcredit.errors import ConfigError

if TYPE_CHECKING:
    from clients.join import Offer

joining = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
HomeFolder = Annotated[
    Path | None, typer.Option("--home", help="The node's folder; else the only one on this machine.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

HOW_TO_HEAR = (
    "telephone the platform on a number that did not come with the file, have them read the fingerprint that "
    "`fedcredit consortium members` prints, and type what you hear: 16 digits or more"
)


@joining.command("request")
def request_join(
    institution: str,
    home: Annotated[Path | None, typer.Option("--home", help="Folder; else FEDCREDIT_HOME/INSTITUTION.")] = None,
    out: Annotated[Path | None, typer.Option(help="The request; else INSTITUTION.fcreq here.")] = None,
    new_keys: Annotated[
        bool, typer.Option("--new-keys", help="Put the node's keys aside and make new ones; the officer's stays.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make this node's keys, which never leave, and write the request to join that the consortium approves.

    A second time the keys stay and the request is new. With --new-keys the old identity signs the request as well, so
    that the consortium knows who asks; until the answer is joined the node cannot be reached.
    """
    from clients.home import NodeHome, home_of
    from clients.request import make_request
    from fedcredit.trust.files import write_whole
    from fedcredit.trust.fingerprint import spaced
    from fedcredit.trust.joining import read_request

    node = NodeHome(home.resolve()) if home else home_of(institution)
    data = make_request(node, institution=institution, has_new_keys=new_keys)
    target = out or Path(f"{node.folder.name if home is None else institution}.fcreq")
    write_whole(target, data, mode=0o644)
    made = read_request(data)
    if as_json:
        facts = {"request": str(target), "home": str(node.folder), "fingerprint": made.identity.fingerprint}
        report = {**asdict(made.environment), "clock_utc": made.environment.clock_utc.isoformat()}
        typer.echo(json.dumps({**facts, "environment": report}, ensure_ascii=False))
        return
    typer.echo(f"keys in {node.folder}, which stay there: {', '.join(path.name for path in node.keys)}", err=True)
    typer.echo(f"send {target} to the consortium; they will telephone and ask for your fingerprint:", err=True)
    typer.echo(f"  {spaced(made.identity.fingerprint)}", err=True)
    typer.echo(str(target))


@joining.command("join")
def join_consortium(
    path: Path,
    fingerprint: Annotated[str | None, typer.Option(help="What the platform read to you on the telephone.")] = None,
    home: HomeFolder = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Verify the consortium's answer, show the policy, ask, sign it, and write what the node needs to start.

    Nothing is written unless everything holds and you agree.
    """
    from clients.home import find_home, home_of
    from clients.join import MAX_JOIN_BYTES, accept_offer, verify_offer
    from fedcredit.trust.envelope import peek

    if fingerprint is None:
        raise ConfigError("--fingerprint", found="none", expected="the consortium's", hint=HOW_TO_HEAR)
    if as_json and not yes:
        raise ConfigError("--json", found="nobody to ask", expected="--yes beside it")
    data = _bytes(path, most=MAX_JOIN_BYTES)
    named = str(peek(data, kind="join").get("institution", ""))  # says which folder; verified below
    node = find_home(home) if home else home_of(named)
    now = datetime.now(UTC)
    offer = verify_offer(data, home=node, fingerprint=fingerprint, now=now)
    if not as_json:
        typer.echo("\n".join(_said(offer)), err=True)
    if not yes:
        typer.confirm("Sign this policy and join?" if not offer.is_kept else "Join?", abort=True, err=True)
    written = accept_offer(offer, home=node, fingerprint=fingerprint, now=now)
    if as_json:
        facts = {"home": str(node.folder), "consortium": offer.join.consortium, "version": offer.manifest.version}
        typer.echo(json.dumps({**facts, "written": written, "signed": not offer.is_kept}, ensure_ascii=False))
        return
    typer.echo(f"written: {', '.join(written)}", err=True)
    typer.echo("next: fedcredit node data TABLE, then fedcredit node check", err=True)
    typer.echo(str(node.folder))


@joining.command("leave")
def leave_consortium(home: HomeFolder = None, yes: Yes = False, as_json: Json = False) -> None:
    """Stop answering, end the node, and say what to send so that the platform revokes it; ledger, log and rows stay."""
    from clients.home import find_home
    from clients.leave import leave
    from clients.running_cli import stop_node
    from fedcredit.errors import NodeError

    node = find_home(home)
    if not yes:
        if as_json:
            raise ConfigError("--json", found="nobody to ask", expected="--yes beside it")
        typer.confirm(f"Stop the node in {node.folder} and leave?", abort=True, err=True)
    left = leave(node)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            stop_node(node.folder)
    except NodeError as fault:  # none runs, or one in a long step: it answers nothing either way
        typer.echo(fault.found, err=True)
    if as_json:
        typer.echo(json.dumps(asdict(left), ensure_ascii=False))
        return
    typer.echo(left.message)
    typer.echo(left.story, err=True)


def _said(offer: Offer) -> list[str]:
    """What somebody should know before saying yes."""
    from clients.plain_policy import in_plain_words

    manifest, join = offer.manifest, offer.join
    lines = [
        f"{join.consortium}: manifest {manifest.version}, until {manifest.expires:%Y-%m-%d}, signed by "
        f"{manifest.threshold} of {len(manifest.officers)} officers ({', '.join(sorted(manifest.officers))})",
        f"gateway {join.gateway}; {len(manifest.active_members)} institutions: "
        + ", ".join(one.name for one in manifest.active_members),
    ]
    lines += [
        f"study {rule.study}, for {rule.purpose}, until {rule.until:%Y-%m-%d}, "
        f"bundle {' or '.join(digest[:16] for digest in rule.bundles)}"
        for rule in manifest.studies
    ]
    for one in join.software:
        handed_out = f", from {one.wheel} with sha256 {one.wheel_sha256}" if one.wheel else ""
        lines.append(f"software {one.name} {one.version} sha256 {one.sha256}{handed_out}")
    if offer.is_kept:
        return [*lines, "The policy that is here stays as your officer signed it."]
    return [*lines, f"The policy of {join.institution} allows:", *(f"  {one}" for one in in_plain_words(offer.policy))]


def _bytes(path: Path, *, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        raise ConfigError(str(path), found="no file", expected="the consortium's answer, a .fcjoin") from None
    if len(data) > most:
        raise ConfigError(str(path), found="a larger file", expected=f"at most {most} bytes")
    return data
