"""The folder of runs becomes a copy of its desks, its registry and its tokens' keys, while all of them are used.

A desk is copied under its own lock, so history, approvals, gates and pointer are of one moment, and nothing that it
signed before is missing. What is large, or belongs to a running service, is copied before that, without the lock.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from fedcredit.errors import FedCreditError
from fedcredit.trust.chain_log import read_chain
from fedcredit.trust.keys import Identity
from server.backup_files import Copy
from server.backup_seal import BackupBroken
from server.promotion.desk import Desk
from server.promotion.history import Entry, replayed
from server.promotion.kept import kept

DESKS, TOKENS, REGISTRY, ARTIFACTS = "models", "serving", "mlflow.db", "mlartifacts"
PARTS = (DESKS, TOKENS, REGISTRY, ARTIFACTS)
HISTORY, KEY = "history.jsonl", "desk.key"
OF_SERVICE = ("trials", "rescore.json")  # what the service and the timer write without the desk's lock


def is_there(runs: Path) -> bool:
    """Whether the folder has anything that is backed up: a study may have run nowhere yet."""
    return any((runs / part).exists() for part in PARTS)


def desks(runs: Path) -> list[Path]:
    """The folders of the desks."""
    return sorted({path.parent for name in (HISTORY, KEY) for path in (runs / DESKS).glob(f"*/{name}")})


def copy_runs(runs: Path, into: Path) -> Copy:
    """A copy of the parts; studies' own folders, with their predictions, are not among them.

    Raises:
        BackupBroken: a database is damaged, a desk does not verify, or goes on changing.
        DeskRefused: another command holds a desk.
    """
    copy = Copy(runs, into, parts=PARTS)
    copy.databases()  # before the artifacts: what the registry names is on the disk by then
    copy.settle(_is_no_draft, is_strict=False)
    copy.settle(_is_no_draft, is_strict=True, parts=(TOKENS,))
    for folder in desks(runs):
        here = folder.relative_to(runs).as_posix()
        with Desk(folder).locked():
            copy.settle(partial(_is_signed, here), is_strict=True, parts=(here,))
        _verify(folder, into / here)
    return copy


def _is_no_draft(path: str) -> bool:
    """Writers draft under names that begin with a dot. A history goes only with the rest of its desk."""
    return not any(word.startswith(".") for word in path.split("/")) and not path.rpartition("/")[2].startswith(HISTORY)


def _is_signed(here: str, path: str) -> bool:
    words = path.removeprefix(f"{here}/").split("/")
    return words[0] not in OF_SERVICE and not any(word.startswith(".") or word.endswith("lock") for word in words)


def _verify(folder: Path, copied: Path) -> None:
    """Return if the copy is a desk that goes on: a damaged one is found while there is still a better backup."""
    try:
        public = Identity.load(folder / KEY).public
        champion = replayed(read_chain(copied / HISTORY, kind=Entry, public=public, is_each=False)).champion
        if champion is not None:
            kept(copied, champion.bundle_sha256)
    except FedCreditError as fault:
        hint = "fedcredit model history NAME --verify; restore the desk from the last good backup"
        where = f"{folder.name}: {fault.where}"
        raise BackupBroken(where, found=fault.found, expected=fault.expected, hint=hint) from None
