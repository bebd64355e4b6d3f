"""backup.json becomes the list of what a backup holds: plain paths with digests, once each; else it is refused."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fedcredit.errors import ConfigError
from fedcredit.strict import build
from server.backup_files import write_private
from server.backup_seal import BackupBroken, unseal
from server.backup_walk import read_plain

LIST, KEYS, FILES, RUNS = "backup.json", "keys.sealed", "files", "runs"
SCHEMA = 2
MOST_LIST_BYTES = 64 * 2**20
MOST_KEY_BYTES = 16 * 2**20
CHUNK = 2**20


@dataclass(frozen=True)
class Kept:
    """One file of a backup. wal: a database that keeps a WAL, and will again."""

    path: str
    bytes: int
    sha256: str
    wal: bool = False


@dataclass(frozen=True)
class Listed:
    """backup.json, as it must be. runs: digest of the list in runs/, where desks were backed up too."""

    schema: int
    time: str
    files: tuple[Kept, ...]
    keys: tuple[str, ...]
    left_out: tuple[str, ...]
    runs: str | None


@dataclass(frozen=True)
class Opened:
    """A folder with its list, as it was read; nothing of it is verified but the list's form."""

    folder: Path
    listed: Listed
    data: bytes

    def keys(self, passphrase: bytes | None) -> dict[str, bytes]:
        """The private keys; none without a passphrase.

        Raises:
            BackupBroken: another passphrase, another list than the one they were sealed beside, or other keys.
        """
        if not passphrase or not self.listed.keys:
            return {}
        try:
            with (self.folder / KEYS).open("rb") as file:
                data = file.read(MOST_KEY_BYTES + 1)
        except OSError:
            raise broken(KEYS, "no file", "the sealed keys beside backup.json") from None
        keys = unseal(data, passphrase=passphrase, beside=self.data)
        if sorted(keys) != sorted(self.listed.keys):
            raise broken(KEYS, "other keys", "those that backup.json lists")
        return keys

    def copy(self, one: Kept, target: Path | None) -> None:
        """Copy a file while it is held to its size and digest; without a target it is only held to them."""
        digest, left = hashlib.sha256(), one.bytes
        try:
            with contextlib.ExitStack() as stack:
                file = stack.enter_context(read_plain(self.folder / FILES / one.path))
                copy = stack.enter_context(write_private(target, is_new=True)) if target else None
                while chunk := file.read(CHUNK):
                    left -= len(chunk)
                    digest.update(chunk)
                    if left < 0:
                        break
                    if copy:
                        copy.write(chunk)
                if copy:
                    copy.flush()
                    os.fsync(copy.fileno())
        except FileNotFoundError:
            raise broken(one.path, "no file", "every file that backup.json lists") from None
        if left != 0 or digest.hexdigest() != one.sha256:
            raise broken(one.path, "other bytes", "those that backup.json lists")

    def runs(self) -> Opened | None:
        """The list of the desks' part; None where there is none. Raises BackupBroken: it is another one."""
        if self.listed.runs is None:
            return None
        inner = opened(self.folder / RUNS)
        if hashlib.sha256(inner.data).hexdigest() != self.listed.runs or inner.listed.runs is not None:
            raise broken(f"{RUNS}/{LIST}", "another list", "the one that backup.json names")
        return inner


def opened(folder: Path) -> Opened:
    """The backup in a folder. Raises BackupBroken: there is no list, or it is no list of ours."""
    try:
        with (folder / LIST).open("rb") as file:
            data = file.read(MOST_LIST_BYTES + 1)
        raw = json.loads(data) if len(data) <= MOST_LIST_BYTES else None
        if isinstance(raw, dict) and raw.get("schema") == 1:  # of before there were desks in it
            raw = {**raw, "runs": None}
        listed = build(Listed, raw, where=LIST, complete=True)
    except OSError:
        raise broken(str(folder), f"no {LIST}", "a folder that `consortium backup` made") from None
    except (ValueError, RecursionError, ConfigError):
        raise broken(LIST, "another format", "the list that `consortium backup` wrote") from None
    names = [one.path for one in listed.files] + list(listed.keys)
    if listed.schema not in (1, SCHEMA) or len(set(names)) != len(names) or not _are_safe(names):
        found = "a path that leaves the folder, twice the same, or another schema"
        raise broken(LIST, found, "plain paths, once each")
    return Opened(folder, listed, data)


def broken(where: str, found: str, expected: str) -> BackupBroken:
    """The refusal of a backup that is not the one that was made."""
    hint = "take an older backup, and find out what changed it"
    return BackupBroken(where, found=found, expected=expected, hint=hint)


def _are_safe(names: Sequence[str]) -> bool:
    """Whether every path stays below the folder it is written to, says so plainly, and is no folder of another."""
    folders = {parent.as_posix() for name in names for parent in PurePosixPath(name).parents}
    return all(
        name not in folders
        and name.isprintable()
        and "\\" not in name
        and not PurePosixPath(name).is_absolute()
        and PurePosixPath(name).as_posix() == name
        and not {"..", "."} & set(name.split("/"))
        for name in names
    )
