"""A folder that others write to becomes the list of its plain files, each as it looks now."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

SQLITE = b"SQLite format 3\x00"
LEFTOVERS = ("-wal", "-shm", "-journal")  # of a database: what they hold is in its copy
PROCESSES = {Path("run"), Path("superlink/flwr")}  # what they keep for themselves, and make anew
WHOLE = ("",)
Looks = tuple[int, int, int]


def walk(home: Path, parts: Sequence[str] = WHOLE) -> Iterator[tuple[str, Looks]]:
    """Path and looks of every plain file under `home`; no links and no databases."""
    for path in files(home, parts):
        try:
            looks = looks_of((home / path).stat(follow_symlinks=False))
            if not is_database(home / path):
                yield path, looks
        except FileNotFoundError:
            continue


def files(home: Path, parts: Sequence[str] = WHOLE) -> list[str]:
    """Every plain file, relative and sorted; drafts and what processes keep for themselves are not the home's."""
    found = [part for part in parts if part and _is_plain(home / part)]
    for folder, folders, names in (step for part in parts for step in os.walk(home / part)):
        here = Path(folder).relative_to(home)
        folders[:] = sorted(n for n in folders if not n.startswith(".draft-") and here / n not in PROCESSES)
        found += [(here / name).as_posix() for name in names if _is_plain(home / here / name)]
    return sorted(path for path in found if not _is_leftover(home / path))


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat(follow_symlinks=False).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _is_leftover(path: Path) -> bool:
    return path.name.endswith(LEFTOVERS) and is_database(_database_of(path))


def is_database(path: Path) -> bool:
    """Whether a file is SQLite's."""
    try:
        with read_plain(path) as file:
            return file.read(len(SQLITE)) == SQLITE
    except OSError:
        return False


def _database_of(path: Path) -> Path:
    return path.with_name(path.name.rpartition("-")[0])


def looks_of(found: os.stat_result) -> Looks:
    """When it was written, its size and its inode: another file or other bytes look otherwise."""
    return found.st_mtime_ns, found.st_size, found.st_ino


def read_plain(path: Path) -> BinaryIO:
    """A file to read; a link in its place is refused, since whoever made it may point it anywhere."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")
