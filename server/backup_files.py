"""A folder that others write to becomes a copy of one moment: files once they settle, databases by their engine."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from server.backup_seal import BackupBroken, is_secret
from server.backup_walk import WHOLE, Looks, files, is_database, looks_of, read_plain, walk

PASSES = 40
RELAXED_PASSES = 8
PAUSE_SECONDS = 0.01
GROWING = ("log.txt", "status.json", ".log", ".jsonl")  # never still in a run; any moment of them will do


@dataclass
class Copy:
    """The copy of some files of `home`; secrets are held in memory and never written.

    parts: the files and folders of `home` that are its own; of a whole home, all. keeps_wal: databases that do.
    """

    home: Path
    into: Path
    parts: Sequence[str] = WHOLE
    secrets: dict[str, bytes] = field(default_factory=dict)
    looks: dict[str, Looks] = field(default_factory=dict)
    keeps_wal: set[str] = field(default_factory=set)

    def databases(self) -> None:
        """Copy each database as it is at one moment. Raises BackupBroken: one is damaged."""
        for path in files(self.home, self.parts):
            if is_database(self.home / path) and copy_database(self.home / path, self.into / path):
                self.keeps_wal.add(path)

    def settle(self, mine: Callable[[str], bool], *, is_strict: bool, parts: Sequence[str] | None = None) -> None:
        """Copy the files that `mine` names, of all parts or of these, until one look at all of them finds nothing new.

        A file is replaced whole by whoever writes it, so each copy is whole; that no two of them are of different
        moments is what the second look shows. What is not `is_strict` is taken as it is after the last pass: rounds
        that were swept since stay in the copy, one that was swept while it was copied does not.

        Raises:
            BackupBroken: they go on changing.
        """
        here = parts or self.parts
        for number in range(PASSES if is_strict else RELAXED_PASSES):
            found = {path: looks for path, looks in walk(self.home, here) if mine(path)}
            known = {path for path in self.looks if mine(path) and _is_under(path, here)}
            gone = known - found.keys() if is_strict else set[str]()
            news = [path for path, looks in found.items() if self.looks.get(path) != looks]
            for path in gone:
                self._forget(path)
            lost = [path.rpartition("/") for path in news if not self._take(path)]
            swept = {
                folder for folder, _, name in lost if not name.startswith(".")
            }  # those are drafts of their writers
            for path in [path for path in self.looks if path.rpartition("/")[0] in swept]:
                self._forget(path)
            if not [path for path in news if not path.endswith(GROWING)] and not gone:
                return
            time.sleep(number * PAUSE_SECONDS)
        if is_strict:
            hint = "stop what writes to it, or try again when nobody joins or leaves"
            raise BackupBroken(str(self.home), found="files that change all the time", expected="a pause", hint=hint)

    def _take(self, path: str) -> bool:
        target = self.into / path
        try:
            with read_plain(self.home / path) as file:
                self.looks[path] = looks_of(os.fstat(file.fileno()))
                head = file.read(4096)
                if is_secret(path.rpartition("/")[2], head):
                    self.secrets[path] = head + file.read()
                    return True
                file.seek(0)
                with write_private(target) as copy:
                    shutil.copyfileobj(file, copy)
        except FileNotFoundError:  # replaced or swept while we came; the next look tells
            self._forget(path)
            return False
        return True

    def _forget(self, path: str) -> None:
        self.looks.pop(path, None)
        self.secrets.pop(path, None)
        with contextlib.suppress(FileNotFoundError):
            (self.into / path).unlink()


def _is_under(path: str, parts: Sequence[str]) -> bool:
    return any(not part or path == part or path.startswith(f"{part}/") for part in parts)


def copy_database(source: Path, target: Path) -> bool:
    """Copy a database as it is at one moment, committed rows only, while others write; whether it keeps a WAL.

    SQLite's own backup does it in one step, and checks the copy.

    Raises:
        BackupBroken: the database is damaged.
    """
    write_private(target).close()
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, timeout=60)) as old,
            contextlib.closing(sqlite3.connect(target)) as new,
        ):
            keeps_wal: bool = old.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            old.backup(new)
            new.execute("PRAGMA journal_mode = DELETE")  # one file, without a WAL beside it
            (verdict,) = new.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as fault:
        raise BackupBroken(source.name, found=str(fault), expected="a database that can be read") from fault
    if verdict != "ok":
        raise BackupBroken(source.name, found="a damaged database", expected="one that SQLite finds whole")
    return keeps_wal


def write_private(path: Path, *, is_new: bool = False) -> BinaryIO:
    """A file to write that only its owner reads, in folders that only their owner enters."""
    for folder in reversed([path.parent, *path.parent.parents]):
        folder.mkdir(mode=0o700, exist_ok=True)  # with parents=True the ones above would be open to others
    mode = os.O_EXCL if is_new else os.O_TRUNC
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | mode, 0o600), "wb")
