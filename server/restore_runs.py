"""Desks from a backup become desks in use: their histories verify, none is older than was seen, none is replaced."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedcredit.errors import FedCreditError
from fedcredit.trust.chain_log import read_copy
from fedcredit.trust.keys import Identity, PublicIdentity
from server.backup_runs import DESKS, HISTORY, KEY, PARTS, desks
from server.backup_seal import BackupBroken
from server.promotion.desk import Desk
from server.promotion.history import Entry, replayed


@dataclass(frozen=True)
class DeskBack:
    """A desk that came back: the last line of its history, when, and the champion's version and bundle."""

    model: str
    lines: int
    time: str
    champion: str | None
    bundle_sha256: str | None
    is_verified: bool


def refuse_over(runs: Path, draft: Path) -> None:
    """Return if nothing would be replaced. Raises BackupBroken: and says how much older the backup is."""
    for part in PARTS:
        there = runs / part
        if not there.is_symlink() and (not there.exists() or (there.is_dir() and not any(there.iterdir()))):
            continue
        told = "something"
        for folder in desks(draft):
            now, then = _lines(runs / DESKS / folder.name / HISTORY), _lines(folder / HISTORY)
            if part == DESKS and now:
                told = f"a history of {folder.name} with {now} lines, where the backup's has {then}"
        hint = f"move it away first: a restore never overwrites. Then --seen FOLDER, with its {DESKS}/, keeps older out"
        raise BackupBroken(str(there), found=told, expected=f"no {part}", hint=hint)


@contextlib.contextmanager
def put(draft: Path, runs: Path) -> Iterator[None]:
    """Move the parts into their places, desks last: a service begins when all is there. A fault, also of what follows,
    moves all of them back.
    """
    moved: list[str] = []
    try:
        for part in reversed(PARTS):
            if (draft / part).exists():
                (draft / part).rename(runs / part)
                moved.append(part)
        yield
    except BaseException:
        for part in moved:
            (runs / part).rename(draft / part)
        raise


def check_desks(draft: Path, *, seen: Path | None = None) -> tuple[DeskBack, ...]:
    """Every desk, once its history verifies line by line, its champion is whole, and it is no older than in `seen`.

    Without its key, which only the passphrase brings, a history cannot be verified; `is_verified` says so.

    Raises:
        BackupBroken: one does not, or nothing in `seen` is of these models.
    """
    folders = desks(draft)
    if seen is not None and not any(_seen(seen, folder.name) for folder in folders):
        expected = f"MODEL/{HISTORY} of one of them, or {DESKS}/MODEL/{HISTORY}"
        raise BackupBroken(str(seen), found="nothing of these models", expected=expected)
    return tuple(_checked(folder, _seen(seen, folder.name) if seen else None) for folder in folders)


def _checked(folder: Path, seen: Path | None) -> DeskBack:
    if not (folder / KEY).exists():
        if seen is not None:
            hint = "give --passphrase-file: the desk's key is sealed in the backup"
            raise BackupBroken(folder.name, found="no key to verify by", expected="the desk's", hint=hint)
        return DeskBack(folder.name, _lines(folder / HISTORY), "", None, None, is_verified=False)
    try:
        desk = Desk(folder)
        entries = list(desk.history(is_each=True))
        champion = replayed(entries).champion
        if champion is not None:
            desk.bundle(champion.bundle_sha256)
        if seen is not None:
            _require_no_older(folder.name, entries, seen, Identity.load(folder / KEY).public)
    except BackupBroken:
        raise
    except FedCreditError as fault:
        hint = "take an older backup, and find out what changed it"
        where = f"{folder.name}: {fault.where}"
        raise BackupBroken(where, found=fault.found, expected=fault.expected, hint=hint) from None
    time = entries[-1].time if entries else ""
    version, sha256 = (champion.version, champion.bundle_sha256) if champion else (None, None)
    return DeskBack(folder.name, len(entries), time, version, sha256, is_verified=True)


def _seen(seen: Path, model: str) -> Path | None:
    places = (seen / model / HISTORY, seen / DESKS / model / HISTORY)
    return next((path for path in places if path.is_file()), None)


def _require_no_older(model: str, entries: list[Entry], seen: Path, public: PublicIdentity) -> None:
    """Return if what was seen is the beginning of the backup's history."""
    try:
        known = list(read_copy(seen, kind=Entry, public=public))
    except (FedCreditError, OSError) as fault:
        found = fault.found if isinstance(fault, FedCreditError) else "a file that cannot be read"
        hint = "name an earlier copy of it: this one says nothing about the backup"
        raise BackupBroken(str(seen), found=found, expected="this desk's own history", hint=hint) from None
    if not known or (len(entries) >= len(known) and entries[len(known) - 1].hash == known[-1].hash):
        return
    found = f"a history of {len(entries)} lines" if len(entries) < len(known) else "another history"
    expected = f"what goes on from line {known[-1].seq} of {known[-1].time}, in {seen}"
    hint = "take a later backup: this one would take back what was signed since"
    raise BackupBroken(model, found=found, expected=expected, hint=hint)


def _lines(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return sum(1 for _ in file)
    except OSError:
        return 0
