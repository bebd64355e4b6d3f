"""One line of a ledger, and the chain of digests that makes an edited, lost or moved line show."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from fedcredit.errors import LedgerEdited
from fedcredit.privacy.mechanism import Mechanism

GENESIS = "0" * 64
Event = Literal["plan", "charge", "close"]
Scope = Literal["run", "institution"]


@dataclass(frozen=True)
class Entry:
    """What was planned, charged or closed, for one population of companies.

    mechanism: JSON of one query, made `count` times. epsilon_after: the population's lifetime epsilon by PLD at
    `delta` once every plan that was open then is spent; a round carries the figure of its plan. previous, hash: the
    chain.
    """

    seq: int
    time: str
    event: Event
    scope: Scope
    dataset: str
    population: str
    study: str
    run: str
    round: int
    attempt: int
    kind: str
    mechanism: str
    count: int
    delta: float
    epsilon_after: float
    previous: str = GENESIS
    hash: str = ""

    @property
    def spends(self) -> Mechanism:
        """The mechanism, `count` times."""
        return mechanism_of(self.mechanism).times(self.count)

    def digest(self) -> str:
        """sha256 of everything but the hash, as canonical JSON; the previous hash is part of it."""
        fields = {name: value for name, value in vars(self).items() if name != "hash"}
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def after(self, previous: str) -> Entry:
        """The same entry, chained to the one before it."""
        chained = replace(self, previous=previous)
        return replace(chained, hash=chained.digest())


def verify_chain(entries: Iterable[Entry], *, where: str, seq: int = 0, head: str = GENESIS) -> tuple[int, str]:
    """Number and hash of the last entry, when all of them follow from `seq` and `head` without a break.

    Raises:
        LedgerEdited: an entry was edited, deleted, added or moved by hand.
    """
    for entry in entries:
        if entry.seq != seq + 1 or entry.previous != head or entry.digest() != entry.hash:
            raise edited(where, found=f"an entry {entry.seq} that does not follow from entry {seq}")
        seq, head = entry.seq, entry.hash
    return seq, head


def edited(where: str, *, found: str) -> LedgerEdited:
    """The refusal of a ledger that does not add up."""
    hint = "restore the file from before the edit; nothing is charged, and so nothing trained, until it verifies"
    return LedgerEdited(where, found=found, expected="the unbroken chain of what was charged", hint=hint)


@lru_cache(maxsize=1024)
def mechanism_of(text: str) -> Mechanism:
    """The mechanism in an entry, read once for all entries that are equal in it."""
    return Mechanism.from_json(text)
