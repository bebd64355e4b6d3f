"""`fedcredit consortium rotate`: new keys for a member, the officers or the X.509 authority."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.consortium_output import Home, Json, Keys, Rehearsal, now, opened, proposed, said

rotate = typer.Typer(
    name="rotate", no_args_is_help=True, help="New keys for a member, the officers or the X.509 authority."
)


@rotate.command("member")
def rotate_member(
    request: Annotated[Path, typer.Argument(metavar="X.fcreq", help="A new request of the same institution.")],
    lost_key: Annotated[
        bool, typer.Option("--lost-key", help="Take a new identity that the old one has not signed.")
    ] = False,
    officer: Keys = None,
    out: Annotated[Path | None, typer.Option("--out", help="The answer; else X.fcjoin.")] = None,
    fingerprint: Annotated[str | None, typer.Option(help="What the institution read on the telephone.")] = None,
    home: Home = None,
    dry_run: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Replace a member's certificate and keys; the request is signed by the identity that it had before."""
    from fedcredit.errors import ConfigError
    from server.approve_cli import approve_requests

    if lost_key and not fingerprint:
        raise ConfigError(
            "--lost-key", found="no --fingerprint", expected="the one that the institution read on the telephone"
        )
    approve_requests(
        [request],
        officer=officer,
        out=out,
        fingerprint=fingerprint,
        home=home,
        dry_run=dry_run,
        as_json=as_json,
        replaces=True,
        is_key_lost=lost_key,
    )


@rotate.command("officers")
def rotate_officers(
    add: Annotated[
        list[str] | None, typer.Option(help="NAME makes a key here, NAME=FILE.pub takes one; a known NAME is renewed.")
    ] = None,
    remove: Annotated[list[str] | None, typer.Option(help="NAME of an officer who signs no more.")] = None,
    threshold: Annotated[int | None, typer.Option(help="How many it takes from now on; else as before.")] = None,
    officer: Keys = None,
    home: Home = None,
    dry_run: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Change who signs. As many of the old officers as it takes sign it, and as many of the new ones.

    The fingerprint changes with the officers: newcomers are read the new one, members follow by the signatures.
    """
    from server.consortium.rotate import described_officers, other_officers

    kept = opened(home)
    if dry_run:
        lines = described_officers(kept, add=add or (), remove=remove or (), threshold=threshold)
        said({"change": "rotate officers", "dry_run": True, "changes": lines}, lines, as_json=as_json)
        return
    change = other_officers(kept, add=add or (), remove=remove or (), threshold=threshold)
    proposed(kept, change, officer=officer, dry_run=False, as_json=as_json)


@rotate.command("authority")
def rotate_authority(
    finish: Annotated[bool, typer.Option("--finish", help="Everybody has new certificates: drop the old one.")] = False,
    officer: Keys = None,
    home: Home = None,
    dry_run: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Make a new X.509 authority beside the old one; both hold until every member has a new certificate."""
    from server.consortium.rotate import other_authority

    kept = opened(home)
    if dry_run and not finish and kept.pending() is None:  # to make its key would be no rehearsal
        lines = ["a new X.509 authority beside the one in force"]
        said({"change": "rotate authority", "dry_run": True, "changes": lines}, lines, as_json=as_json)
        return
    change = other_authority(kept, finish=finish, now=now())
    proposed(kept, change, officer=officer, dry_run=dry_run, as_json=as_json)
