"""Who spends, whose budget it is, and where the ledger of it is kept."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fedcredit.privacy.entry import Entry, Scope


@dataclass(frozen=True)
class Account:
    """Who spends, and whose budget it is.

    populations: the company populations that the rows belong to; the institution's one, unless the operator tells
    several apart. run: a name that is unique in the ledger. dataset: a digest of the rows. delta: of the run.
    """

    run: str
    study: str
    dataset: str
    populations: tuple[str, ...]
    delta: float
    scope: Scope = "institution"


@dataclass(frozen=True)
class Charge:
    """The entries of one charge. Where they were there before, their training may have left: do not train again."""

    entries: tuple[Entry, ...]
    is_new: bool


def home() -> Path:
    """The folder of what an institution keeps for itself: FEDCREDIT_HOME, else ~/.fedcredit."""
    return Path(os.environ.get("FEDCREDIT_HOME") or Path.home() / ".fedcredit")


def ledger_path(institution: str) -> Path:
    """Where an institution's ledger is unless its operator says otherwise.

    >>> ledger_path("甲 bank/../x").relative_to(home()).as_posix()
    '甲_bank_.._x/ledger.sqlite'
    """
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in institution)
    return home() / (safe.lstrip(".") or "_") / "ledger.sqlite"
