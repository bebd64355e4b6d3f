"""A backup becomes a home again: every byte as it was listed, in a folder that was empty, whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fedcredit.errors import ConfigError
from fedcredit.strict import build
from server.backup import FILES, KEYS, LIST, Kept
from server.backup_files import read_plain, write_private
from server.backup_seal import BackupBroken, unseal

MOST_LIST_BYTES = 64 * 2**20
MOST_KEY_BYTES = 16 * 2**20
CHUNK = 2**20


@dataclass(frozen=True)
class Listed:
    """backup.json, as it must be."""

    schema: int
    time: str
    files: tuple[Kept, ...]
    keys: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Restored:
    """missing: keys that the home had and now has not: left out of the backup, or sealed and no passphrase given."""

    home: Path
    time: str
    files: int
    keys: int
    missing: tuple[str, ...]


def restore(folder: Path, home: Path, *, passphrase: bytes | None = None) -> Restored:
    """Put what the backup in `folder` holds into `home`, which is absent or empty.

    Raises:
        BackupBroken: `home` holds something, the backup is not whole, or the passphrase is another; `home` stays.
    """
    listed, bytes_of_list = _read_list(folder)
    if home.is_symlink() or (home.exists() and (not home.is_dir() or any(home.iterdir()))):
        hint = "move what is there away first: a restore never overwrites"
        raise BackupBroken(str(home), found="something", expected="no folder, or an empty one", hint=hint)
    keys = _read_keys(folder, listed, bytes_of_list, passphrase) if passphrase and listed.keys else {}
    home.parent.mkdir(parents=True, exist_ok=True)
    draft = home.parent / f".{home.name}.restoring-{os.getpid()}"
    try:
        draft.mkdir(mode=0o700)
        for one in listed.files:
            _copy(folder / FILES / one.path, draft / one.path, one)
        for path, data in keys.items():
            with write_private(draft / path, is_new=True) as file:
                file.write(data)
                os.fsync(file.fileno())
        for one in listed.files:
            if one.wal:
                with contextlib.closing(sqlite3.connect(draft / one.path)) as db:
                    db.execute("PRAGMA journal_mode = WAL")
        draft.rename(home)  # over an empty folder, if there is one
    except (OSError, sqlite3.Error) as fault:
        found = os.strerror(fault.errno) if isinstance(fault, OSError) and fault.errno else type(fault).__name__
        raise BackupBroken(str(home), found=found, expected="a folder with room to write") from fault
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    missing = sorted({*listed.left_out, *listed.keys} - keys.keys())
    return Restored(home, listed.time, len(listed.files), len(keys), tuple(missing))


def verify(folder: Path) -> Listed:
    """What a backup holds, once every file of it is there with its digest; the keys stay sealed.

    Raises:
        BackupBroken: it is not whole.
    """
    listed, _ = _read_list(folder)
    for one in listed.files:
        _copy(folder / FILES / one.path, None, one)
    return listed


def _read_list(folder: Path) -> tuple[Listed, bytes]:
    try:
        with (folder / LIST).open("rb") as file:
            data = file.read(MOST_LIST_BYTES + 1)
        raw = json.loads(data) if len(data) <= MOST_LIST_BYTES else None
        listed = build(Listed, raw, where=LIST, complete=True)
    except OSError:
        raise _broken(str(folder), f"no {LIST}", "a folder that `consortium backup` made") from None
    except (ValueError, RecursionError, ConfigError):
        raise _broken(LIST, "another format", "the list that `consortium backup` wrote") from None
    names = [one.path for one in listed.files] + list(listed.keys)
    if listed.schema != 1 or len(set(names)) != len(names) or not _are_safe(names):
        raise _broken(
            LIST, "a path that leaves the folder, twice the same, or another schema", "plain paths, once each"
        )
    return listed, data


def _are_safe(names: Sequence[str]) -> bool:
    """Whether every path stays below the folder it is written to, says so plainly, and is no folder of another."""
    folders = {parent.as_posix() for name in names for parent in PurePosixPath(name).parents}
    return all(
        name not in folders
        and "\0" not in name
        and "\\" not in name
        and not PurePosixPath(name).is_absolute()
        and PurePosixPath(name).as_posix() == name
        and not {"..", "."} & set(name.split("/"))
        for name in names
    )


def _read_keys(folder: Path, listed: Listed, list_bytes: bytes, passphrase: bytes) -> dict[str, bytes]:
    try:
        with (folder / KEYS).open("rb") as file:
            data = file.read(MOST_KEY_BYTES + 1)
    except OSError:
        raise _broken(KEYS, "no file", "the sealed keys beside backup.json") from None
    keys = unseal(data, passphrase=passphrase, beside=list_bytes)
    if sorted(keys) != sorted(listed.keys):
        raise _broken(KEYS, "other keys", "those that backup.json lists")
    return keys


def _copy(source: Path, target: Path | None, one: Kept) -> None:
    """Copy a file while it is held to its size and digest; without a target it is only held to them."""
    digest, left = hashlib.sha256(), one.bytes
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(read_plain(source))
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
        raise _broken(one.path, "no file", "every file that backup.json lists") from None
    if left != 0 or digest.hexdigest() != one.sha256:
        raise _broken(one.path, "other bytes", "those that backup.json lists")


def _broken(where: str, found: str, expected: str) -> BackupBroken:
    return BackupBroken(
        where, found=found, expected=expected, hint="take an older backup, and find out what changed it"
    )
