"""A backup becomes a home again, and desks: every byte as it was listed, in empty folders, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from server.backup_files import write_private
from server.backup_list import RUNS, Listed, Opened, opened
from server.backup_seal import BackupBroken
from server.restore_registry import move_registry
from server.restore_runs import DeskBack, check_desks, put, refuse_over


@dataclass(frozen=True)
class Restored:
    """missing: keys that were there and now are not: left out of the backup, or sealed and no passphrase given."""

    home: Path | None
    runs: Path | None
    time: str
    files: int
    keys: int
    missing: tuple[str, ...]
    desks: tuple[DeskBack, ...] = ()


def restore(
    folder: Path,
    home: Path | None,
    *,
    runs: Path | None = None,
    seen: Path | None = None,
    passphrase: bytes | None = None,
) -> Restored:
    """Put what the backup in `folder` holds into `home`, which is absent or empty, and its desks into `runs`.

    Either may be left out. `seen` is a folder with histories of these desks as somebody saw them last; a backup that
    does not go on from there would take back what was signed.

    Raises:
        BackupBroken: something is there already, the backup is not whole, has no desks, or older ones than were seen,
            or the passphrase is another; `home` and `runs` stay as they were.
    """
    outer = opened(folder)
    inner = outer.runs()
    if runs is not None and inner is None:
        raise BackupBroken(str(folder), found="no desks", expected="a backup that was made with --runs")
    if home is not None and (home.is_symlink() or (home.exists() and (not home.is_dir() or any(home.iterdir())))):
        hint = "move what is there away first: a restore never overwrites"
        raise BackupBroken(str(home), found="something", expected="no folder, or an empty one", hint=hint)
    count, keys, missing, desks = 0, 0, list[str](), tuple[DeskBack, ...]()
    with contextlib.ExitStack() as stack:
        if runs is not None and inner is not None:
            opens = inner.keys(passphrase)
            stack.enter_context(_made(runs))
            draft = stack.enter_context(_drafted(inner, opens, runs / f".restoring-{os.getpid()}"))
            refuse_over(runs, draft)
            desks = check_desks(draft, seen=seen)
            count, keys = len(inner.listed.files), len(opens)
            missing += [f"{RUNS}/{path}" for path in _missing(inner.listed, opens)]
            stack.enter_context(_told(runs))
            move_registry(draft, runs)
            stack.enter_context(put(draft, runs))  # and back again, if the home cannot follow
        if home is not None:
            opens = outer.keys(passphrase)
            stack.enter_context(_told(home))
            home.parent.mkdir(parents=True, exist_ok=True)
            draft = stack.enter_context(_drafted(outer, opens, home.parent / f".{home.name}.restoring-{os.getpid()}"))
            draft.rename(home)  # over an empty folder, if there is one
            count, keys = count + len(outer.listed.files), keys + len(opens)
            missing += _missing(outer.listed, opens)
    return Restored(home, runs, outer.listed.time, count, keys, tuple(sorted(missing)), desks)


def verify(folder: Path) -> tuple[Listed, Listed | None]:
    """What a backup holds, home and desks, once every file of it is there with its digest; the keys stay sealed.

    Raises:
        BackupBroken: it is not whole.
    """
    outer = opened(folder)
    inner = outer.runs()
    for part in (outer, inner) if inner else (outer,):
        for one in part.listed.files:
            part.copy(one, None)
    return outer.listed, inner.listed if inner else None


def _missing(listed: Listed, keys: Mapping[str, bytes]) -> list[str]:
    return sorted({*listed.left_out, *listed.keys} - keys.keys())


@contextlib.contextmanager
def _drafted(part: Opened, keys: Mapping[str, bytes], draft: Path) -> Iterator[Path]:
    """A folder with every file and key of the part, which goes again if nobody moves it."""
    try:
        with _told(draft.parent):
            draft.mkdir(mode=0o700)
            for one in part.listed.files:
                part.copy(one, draft / one.path)
            for path, data in keys.items():
                with write_private(draft / path, is_new=True) as file:
                    file.write(data)
                    os.fsync(file.fileno())
            for one in part.listed.files:
                if one.wal:
                    with contextlib.closing(sqlite3.connect(draft / one.path)) as db:
                        db.execute("PRAGMA journal_mode = WAL")
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """The folder, made on first use; it goes again if it stays empty."""
    is_new = not folder.exists()
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        yield
    finally:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()


@contextlib.contextmanager
def _told(where: Path) -> Iterator[None]:
    """Faults of the disk as ours."""
    try:
        yield
    except (OSError, sqlite3.Error) as fault:
        found = os.strerror(fault.errno) if isinstance(fault, OSError) and fault.errno else type(fault).__name__
        raise BackupBroken(str(where), found=found, expected="a folder with room to write") from fault
