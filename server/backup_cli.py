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
Runs = Annotated[
    Path | None, typer.Option("--runs", help="Folder of runs: its desks of models, registry and keys of tokens too.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def backup(
    into: Annotated[Path, typer.Argument(metavar="BACKUPS", help="Folder of backups, on another disk.")],
    home: Home = None,
    runs: Runs = None,
    passphrase_file: Passphrase = None,
    keep: Annotated[int | None, typer.Option("--keep", min=1, help="Remove all but the newest so many.")] = None,
    as_json: Json = False,
) -> None:
    """Keep a whole copy of the consortium's folder, and of the desks of models, in BACKUPS, while everything runs.

    Private keys are kept only with a passphrase; officers' keys never.
    """
    from server.backup import backup as make
    from server.backup_seal import read_passphrase

    passphrase = read_passphrase(passphrase_file) if passphrase_file else None
    made = make(_home(home), into, runs=runs, passphrase=passphrase, keep=keep)
    desks = made.runs
    left_out = [*made.left_out, *(f"runs/{path}" for path in (desks.left_out if desks else ()))]
    for path in left_out:
        typer.echo(f"left out: {path}", err=True)
    if desks is None:
        found = f"none in {runs} yet" if runs else "name their folder with --runs"
        typer.echo(f"no desks of models are in it: {found}", err=True)
    if left_out and passphrase is None:
        typer.echo("without --passphrase-file no key is kept: the consortium cannot go on from this alone", err=True)
    said = {
        "backup": str(made.folder),
        "time": made.time,
        "files": len(made.files) + (len(desks.files) if desks else 0),
        "bytes": made.bytes,
        "keys_sealed": len(made.keys) + (len(desks.keys) if desks else 0),
        "left_out": left_out,
        "has_desks": desks is not None,
    }
    typer.echo(json.dumps(said, ensure_ascii=False) if as_json else str(made.folder))


def restore(
    folder: Annotated[Path, typer.Argument(metavar="BACKUP", help="One backup: a folder with backup.json in it.")],
    home: Home = None,
    runs: Runs = None,
    only_runs: Annotated[bool, typer.Option("--only-runs", help="Leave the consortium's folder as it is.")] = False,
    seen: Annotated[
        Path | None, typer.Option("--seen", help="Folder with MODEL/history.jsonl as last seen: older is refused.")
    ] = None,
    passphrase_file: Passphrase = None,
    verify: Annotated[bool, typer.Option("--verify", help="Only check that the backup is whole.")] = False,
    as_json: Json = False,
) -> None:
    """Put BACKUP into the consortium's folder, which must be absent or empty, and its desks into RUNS, if it is named.

    Nothing is overwritten; every file is held to its digest, and every desk's history verified.
    """
    from dataclasses import asdict

    from fedcredit.errors import ConfigError
    from server.backup_seal import read_passphrase
    from server.restore import restore as put
    from server.restore import verify as check

    if verify:
        listed, desks = check(folder)
        count = len(listed.files) + (len(desks.files) if desks else 0)
        whole = {"backup": str(folder), "time": listed.time, "files": count, "is_whole": True}
        whole["has_desks"] = desks is not None
        typer.echo(json.dumps(whole) if as_json else f"{folder}: whole, {count} files of {listed.time}")
        return
    if runs is None and (only_runs or seen is not None):
        raise ConfigError("--runs", found="none", expected="the folder for the desks")
    passphrase = read_passphrase(passphrase_file) if passphrase_file else None
    done = put(folder, None if only_runs else _home(home), runs=runs, seen=seen, passphrase=passphrase)
    for path in done.missing:
        typer.echo(f"missing: {path}", err=True)
    for desk in done.desks:
        champion = f"champion {desk.champion}" if desk.champion else "no champion"
        state = f"verified, {champion}" if desk.is_verified else "not verified, as its key is missing"
        typer.echo(f"{desk.model}: history of {desk.lines} lines {state}", err=True)
    said = {
        "home": str(done.home) if done.home else None,
        "runs": str(done.runs) if done.runs else None,
        "time": done.time,
        "files": done.files,
        "keys": done.keys,
        "missing": list(done.missing),
        "desks": [asdict(desk) for desk in done.desks],
    }
    typer.echo(json.dumps(said, ensure_ascii=False) if as_json else str(done.home or done.runs))


def _home(said: Path | None) -> Path:
    from fedcredit.privacy.account import home

    return said or home() / "consortium"
