"""The consortium's home becomes a folder that it can be restored from, made while everything runs.

    BACKUPS/20261124T030000Z/{backup.json, keys.sealed, files/...}
    BACKUPS/20261124T030000Z/runs/{backup.json, keys.sealed, files/...}    the desks of models, with --runs

Everything that was committed before it began is in it. Checkpoints are copied before databases, so a ledger is never
older than a round that it paid for. Private keys are in it only sealed under a passphrase; without one they are left
out, and named. Officers' keys are never in it: one passphrase would be worth the signatures of all of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from server.backup_files import Copy, write_private
from server.backup_list import FILES, KEYS, LIST, RUNS, SCHEMA, Kept
from server.backup_runs import copy_runs, is_there
from server.backup_seal import BackupBroken, seal
from server.backup_walk import files

NAME = re.compile(r"\d{8}T\d{6}Z(-\d+)?")
DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Backup:
    """What was kept, which keys are sealed with it, and which were left out; `runs` is the part of the desks."""

    folder: Path
    time: str
    files: tuple[Kept, ...]
    keys: tuple[str, ...]
    left_out: tuple[str, ...]
    runs: Backup | None = None

    @property
    def bytes(self) -> int:
        """Size of what was kept, without the keys."""
        return sum(one.bytes for one in self.files) + (self.runs.bytes if self.runs else 0)


def backup(
    home: Path, into: Path, *, runs: Path | None = None, passphrase: bytes | None = None, keep: int | None = None
) -> Backup:
    """A whole backup of `home`, and of the desks in `runs`, in a new folder under `into`.

    Older ones than the newest `keep` are removed after it.

    Raises:
        BackupBroken: there is no consortium, a database or a desk is damaged, or the disk is full; nothing was kept.
        DeskRefused: another command holds a desk.
    """
    if not (home / "manifest.json").exists() and not (home / "consortium.yaml").exists():
        raise BackupBroken(str(home), found="no consortium", expected="the folder that `consortium init` made")
    _check_apart(home, into, runs)
    now = datetime.now(UTC)
    draft = into / f".draft-{now:%Y%m%dT%H%M%S%f}"
    try:
        (draft / FILES).mkdir(parents=True, mode=0o700)
        at, desks = now.isoformat(timespec="seconds"), None
        if runs is not None and is_there(runs):
            (draft / RUNS).mkdir(mode=0o700)
            desks = _put(copy_runs(runs, draft / RUNS / FILES), draft / RUNS, passphrase=passphrase, at=at)
        made = _put(_copy_home(home, draft / FILES), draft, passphrase=passphrase, at=at, runs=desks)
        folder = _rename(draft, into, f"{now:%Y%m%dT%H%M%SZ}")
    except OSError as fault:
        found = os.strerror(fault.errno) if fault.errno else type(fault).__name__
        where = str(fault.filename or into)  # the lock of a desk has to be writable too
        raise BackupBroken(where, found=found, expected="a folder with room to write") from fault
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _tell(home, folder.name, made)
    _sweep(into, keep)
    return replace(made, folder=folder, runs=replace(desks, folder=folder / RUNS) if desks else None)


def _check_apart(home: Path, into: Path, runs: Path | None) -> None:
    """Return if backups go elsewhere, desks are no part of the home, and none are missing that there were before."""
    for folder, of, what in ((into, home, "home"), (runs, home, "home"), (into, runs, "runs")):
        if folder and of and of.resolve() in (folder.resolve(), *folder.resolve().parents):
            found, expected = f"a folder inside of the {what}", "another disk, or at least folder"
            raise BackupBroken(str(folder), found=found, expected=expected)
    if runs is not None and not is_there(runs) and into.is_dir() and any(into.glob(f"*/{RUNS}/{LIST}")):
        hint = "name the folder that has models/; or begin with a new folder of backups"
        raise BackupBroken(str(runs), found="no desks, where backups have some", expected="the same runs", hint=hint)


def _copy_home(home: Path, into: Path) -> Copy:
    copy = Copy(home, into)
    copy.settle(lambda path: path.startswith("studies/"), is_strict=False)
    copy.databases()
    copy.settle(lambda path: not path.startswith("studies/"), is_strict=True)
    return copy


def _put(copy: Copy, draft: Path, *, passphrase: bytes | None, at: str, runs: Backup | None = None) -> Backup:
    """The list of what was copied, and the sealed keys beside it."""
    keys = {path: data for path, data in copy.secrets.items() if passphrase and not path.startswith("officers/")}
    kept = [_kept(draft / FILES, path, wal=path in copy.keeps_wal) for path in files(draft / FILES)]
    left_out = tuple(sorted(copy.secrets.keys() - keys.keys()))
    inner = None if runs is None else hashlib.sha256((draft / RUNS / LIST).read_bytes()).hexdigest()
    said = {
        "schema": SCHEMA,
        "time": at,
        "files": [asdict(one) for one in kept],
        "keys": sorted(keys),
        "left_out": left_out,
        "runs": inner,
    }
    listed = json.dumps(said, indent=1, ensure_ascii=False).encode()
    _write(draft / LIST, listed)
    if passphrase and keys:
        _write(draft / KEYS, seal(keys, passphrase=passphrase, beside=listed))
    return Backup(draft, at, tuple(kept), tuple(sorted(keys)), left_out, runs)


def _kept(folder: Path, path: str, *, wal: bool) -> Kept:
    with (folder / path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
        return Kept(path, os.fstat(file.fileno()).st_size, digest, wal)


def _write(path: Path, data: bytes) -> None:
    with write_private(path) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _rename(draft: Path, into: Path, name: str) -> Path:
    """Give the backup its name, the next free one of that second; the rename is on disk when this returns."""
    for folder in (into / (name if not number else f"{name}-{number}") for number in range(1000)):
        if not folder.exists():
            draft.rename(folder)
            handle = os.open(into, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(handle)
            os.close(handle)
            return folder
    raise BackupBroken(str(into), found="a thousand backups of this second", expected="fewer")


def _tell(home: Path, name: str, made: Backup) -> None:
    """The file that the metrics read; a home that is no longer writable is backed up all the same."""
    draft = home / "run" / f".backup.json.{os.getpid()}"
    try:
        draft.parent.mkdir(mode=0o700, exist_ok=True)
        draft.write_text(json.dumps({"time": made.time, "name": name, "files": len(made.files), "bytes": made.bytes}))
        draft.replace(home / "run" / LIST)
    except OSError:
        draft.unlink(missing_ok=True)


def _sweep(into: Path, keep: int | None) -> None:
    """Remove whole backups beyond the newest `keep`, and drafts that a crash left a day ago; nothing else."""
    whole = sorted(p for p in into.iterdir() if NAME.fullmatch(p.name) and (p / LIST).exists())
    old: Sequence[Path] = whole[: -max(1, keep)] if keep is not None else []
    drafts = [p for p in into.glob(".draft-*") if time.time() - p.stat().st_mtime > DAY_SECONDS]
    for path in (*old, *drafts):
        shutil.rmtree(path, ignore_errors=True)
