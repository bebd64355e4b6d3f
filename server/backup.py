"""The consortium's home becomes a folder that it can be restored from, made while everything runs.

    BACKUPS/20261124T030000Z/{backup.json, keys.sealed, files/...}

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
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from server.backup_files import Copy, copy_database, files, is_database, write_private
from server.backup_seal import BackupBroken, seal

LIST, KEYS, FILES = "backup.json", "keys.sealed", "files"
NAME = re.compile(r"\d{8}T\d{6}Z(-\d+)?")
DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Kept:
    """One file of a backup. wal: a database that keeps a WAL, and will again."""

    path: str
    bytes: int
    sha256: str
    wal: bool = False


@dataclass(frozen=True)
class Backup:
    """What was kept, which keys are sealed with it, and which were left out."""

    folder: Path
    time: str
    files: tuple[Kept, ...]
    keys: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """Size of what was kept, without the keys."""
        return sum(one.bytes for one in self.files)


def backup(home: Path, into: Path, *, passphrase: bytes | None = None, keep: int | None = None) -> Backup:
    """A whole backup of `home` in a new folder under `into`; older ones than the newest `keep` are removed after it.

    Raises:
        BackupBroken: there is no consortium, a database is damaged, or the disk is full; nothing was kept.
    """
    if not (home / "manifest.json").exists() and not (home / "consortium.yaml").exists():
        raise BackupBroken(str(home), found="no consortium", expected="the folder that `consortium init` made")
    if home.resolve() in (into.resolve(), *into.resolve().parents):
        raise BackupBroken(str(into), found="a folder inside of the home", expected="another disk, or at least folder")
    now = datetime.now(UTC)
    draft = into / f".draft-{now:%Y%m%dT%H%M%S%f}"
    try:
        (draft / FILES).mkdir(parents=True, mode=0o700)
        made = _fill(home, draft, passphrase=passphrase, time=now.isoformat(timespec="seconds"))
        folder = _rename(draft, into, f"{now:%Y%m%dT%H%M%SZ}")
    except OSError as fault:
        found = os.strerror(fault.errno) if fault.errno else type(fault).__name__
        raise BackupBroken(str(into), found=found, expected="a folder with room to write") from fault
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _tell(home, folder.name, made)
    _sweep(into, keep)
    return Backup(folder, made.time, made.files, made.keys, made.left_out)


def _fill(home: Path, draft: Path, *, passphrase: bytes | None, time: str) -> Backup:
    copy = Copy(home, draft / FILES)
    copy.settle(lambda path: path.startswith("studies/"), is_strict=False)
    databases = [path for path in files(home) if is_database(home / path)]
    keeps_wal = {path: copy_database(home / path, draft / FILES / path) for path in databases}
    copy.settle(lambda path: not path.startswith("studies/"), is_strict=True)
    keys = {path: data for path, data in copy.secrets.items() if passphrase and not path.startswith("officers/")}
    kept = [_kept(draft / FILES, path, wal=keeps_wal.get(path, False)) for path in files(draft / FILES)]
    made = Backup(draft, time, tuple(kept), tuple(sorted(keys)), tuple(sorted(copy.secrets.keys() - keys.keys())))
    listed = json.dumps({"schema": 1, **_plain(made)}, indent=1, ensure_ascii=False).encode()
    _write(draft / LIST, listed)
    if passphrase and keys:
        _write(draft / KEYS, seal(keys, passphrase=passphrase, beside=listed))
    return made


def _plain(made: Backup) -> dict[str, object]:
    return {name: value for name, value in asdict(made).items() if name != "folder"}


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
