"""`fedcredit consortium backup` and `restore`: the words of the command line become a kept or a restored home."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

Home = Annotated[Path | None, typer.Option("--home", help="The consortium's folder; else $FEDCREDIT_HOME/consortium.")]
Passphrase = Annotated[
    Path | None, typer.Option("--passphrase-file", help="File (0600) whose first line seals or opens the private keys.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def backup(
    into: Annotated[Path, typer.Argument(metavar="BACKUPS", help="Folder of backups, on another disk.")],
    home: Home = None,
    passphrase_file: Passphrase = None,
    keep: Annotated[int | None, typer.Option("--keep", min=1, help="Remove all but the newest so many.")] = None,
    as_json: Json = False,
) -> None:
    """Keep a whole copy of the consortium's folder in BACKUPS, while everything runs.

    Private keys are kept only with a passphrase; officers' keys never.
    """
    from server.backup import backup as make
    from server.backup_seal import read_passphrase

    passphrase = read_passphrase(passphrase_file) if passphrase_file else None
    made = make(_home(home), into, passphrase=passphrase, keep=keep)
    for path in made.left_out:
        typer.echo(f"left out: {path}", err=True)
    if made.left_out and passphrase is None:
        typer.echo("without --passphrase-file no key is kept: the consortium cannot go on from this alone", err=True)
    said = {
        "backup": str(made.folder),
        "time": made.time,
        "files": len(made.files),
        "bytes": made.bytes,
        "keys_sealed": len(made.keys),
        "left_out": list(made.left_out),
    }
    typer.echo(json.dumps(said, ensure_ascii=False) if as_json else str(made.folder))


def restore(
    folder: Annotated[Path, typer.Argument(metavar="BACKUP", help="One backup: a folder with backup.json in it.")],
    home: Home = None,
    passphrase_file: Passphrase = None,
    verify: Annotated[bool, typer.Option("--verify", help="Only check that the backup is whole.")] = False,
    as_json: Json = False,
) -> None:
    """Put BACKUP into the consortium's folder, which must be absent or empty; every file is held to its digest."""
    from server.backup_seal import read_passphrase
    from server.restore import restore as put
    from server.restore import verify as check

    if verify:
        listed = check(folder)
        whole = {"backup": str(folder), "time": listed.time, "files": len(listed.files), "is_whole": True}
        typer.echo(json.dumps(whole) if as_json else f"{folder}: whole, {len(listed.files)} files of {listed.time}")
        return
    passphrase = read_passphrase(passphrase_file) if passphrase_file else None
    done = put(folder, _home(home), passphrase=passphrase)
    for path in done.missing:
        typer.echo(f"missing: {path}", err=True)
    said = {
        "home": str(done.home),
        "time": done.time,
        "files": done.files,
        "keys": done.keys,
        "missing": list(done.missing),
    }
    typer.echo(json.dumps(said, ensure_ascii=False) if as_json else str(done.home))


def _home(said: Path | None) -> Path:
    from fedcredit.privacy.account import home

    return said or home() / "consortium"
