"""`fedcredit consortium operator`: whoever starts studies asks, is let in, and gets a profile for the link."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.consortium_output import Home, Json, Keys, Rehearsal, now, said

operator = typer.Typer(
    name="operator", no_args_is_help=True, help="Ask for, give and take up the right to run studies."
)


@operator.command("request")
def request_operator(
    name: str,
    out: Annotated[Path | None, typer.Option(help="The request; else NAME.fcreq here.")] = None,
    as_json: Json = False,
) -> None:
    """On the operator's machine: make the keys, which never leave, and write the request."""
    from fedcredit.trust.files import write_whole
    from fedcredit.trust.fingerprint import spaced
    from fedcredit.trust.joining import read_request
    from server.consortium.operator import make_request

    data = make_request(name)
    target = out or Path(f"{name}.fcreq")
    write_whole(target, data, mode=0o644)
    fingerprint = read_request(data, role="operator").identity.fingerprint
    typer.echo(f"send {target} to the consortium; they will telephone and ask for your fingerprint:", err=True)
    typer.echo(f"  {spaced(fingerprint)}", err=True)
    said({"request": str(target), "fingerprint": fingerprint}, [str(target)], as_json=as_json)


@operator.command("approve")
def approve_operator(
    requests: Annotated[list[Path], typer.Argument(metavar="X.fcreq...", help="One request or several.")],
    renew: Annotated[bool, typer.Option("--renew", help="New keys for one who is an operator already.")] = False,
    officer: Keys = None,
    out: Annotated[Path | None, typer.Option("--out", help="The answer; a folder for several. Else X.fcjoin.")] = None,
    fingerprint: Annotated[str | None, typer.Option(help="What the operator read to you on the telephone.")] = None,
    home: Home = None,
    dry_run: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """At the platform: let operators in, as `approve` does with institutions."""
    from server.approve_cli import approve_requests

    approve_requests(
        requests,
        officer=officer,
        out=out,
        fingerprint=fingerprint,
        home=home,
        dry_run=dry_run,
        as_json=as_json,
        role="operator",
        replaces=renew,
    )


@operator.command("join")
def join_operator(
    path: Annotated[Path, typer.Argument(metavar="X.fcjoin", help="The consortium's answer.")],
    fingerprint: Annotated[str, typer.Option(help="What the platform read to you on the telephone.")],
    as_json: Json = False,
) -> None:
    """On the operator's machine: verify the answer and keep the profile with which studies are started."""
    from fedcredit.errors import ConfigError
    from fedcredit.trust.envelope import MAX_FILE_BYTES
    from server.consortium.operator import join

    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError("X.fcjoin", found=f"no file {path}", expected="the consortium's answer") from None
    profile, manifest = join(data, fingerprint=fingerprint, now=now())
    typer.echo(
        f"{profile.facts.name} may start: {', '.join(one.study for one in manifest.studies) or 'none yet'}", err=True
    )
    facts = {"profile": str(profile.folder), "consortium": manifest.consortium, "gateway": profile.facts.gateway}
    said(facts | {"version": manifest.version}, [str(profile.folder)], as_json=as_json)
