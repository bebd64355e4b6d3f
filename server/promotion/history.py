"""What happened to a model's desk becomes signed lines, and the lines become who is champion now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from fedcredit.errors import PolicyRefused
from fedcredit.trust.chain_entry import ChainEntry
from fedcredit.trust.chain_log import ChainLog
from fedcredit.trust.keys import Identity

Event = Literal[
    "begun",  # of the chain itself, with the desk's identity
    "founded",
    "gates",
    "intent",
    "promoted",
    "refused",
    "rolled-back",
    "fell-back",
    "renewed",
    "challenger",
    "shadow",
    "mended",
]
ROLES = ("challenger", "shadow")


class HistoryBroken(PolicyRefused):
    """The history of promotions does not verify, or cannot be written; nothing is promoted."""

    code = "history"


@dataclass(frozen=True)
class Entry(ChainEntry):
    """One event of a desk; `facts` has bundle_sha256 and version where one is meant."""

    context = b"fedcredit/v1/promotion-history"
    events = frozenset(get_args(Event))
    refusal = HistoryBroken
    title = "history of promotions"
    stops = "nothing is promoted"


class History(ChainLog[Entry]):
    """The history in one file of mode 0600, each line on the disk before what it records is seen by anybody."""

    def __init__(self, path: Path, identity: Identity) -> None:
        """Nothing is opened before the first entry."""
        super().__init__(path, identity, kind=Entry)


@dataclass(frozen=True)
class Promoted:
    """A bundle in a place of the desk, since when and by which line of the history."""

    bundle_sha256: str
    version: str
    promoted: datetime
    seq: int

    def as_dict(self) -> dict[str, Any]:
        """As the pointer and `--json` have it."""
        return {
            "bundle_sha256": self.bundle_sha256,
            "version": self.version,
            "promoted": self.promoted.isoformat(timespec="milliseconds"),
            "seq": self.seq,
        }


@dataclass(frozen=True)
class State:
    """What the history says now: champions (the last is the one in force, those before it the way back), and more.

    gates_sha256 is that of the gates in force; intent the number of a promotion that was begun and not finished;
    used the digests of approvals that have made a champion, so that none does it twice.
    """

    champions: tuple[Promoted, ...] = ()
    challenger: Promoted | None = None
    shadow: Promoted | None = None
    gates_sha256: str | None = None
    intent: int | None = None
    used: frozenset[str] = frozenset()
    seq: int = 0

    @property
    def champion(self) -> Promoted | None:
        return self.champions[-1] if self.champions else None

    @property
    def previous(self) -> Promoted | None:
        return self.champions[-2] if len(self.champions) > 1 else None

    def after(self, entry: Entry) -> State:
        """The state once this has happened."""
        now, facts = replace(self, seq=entry.seq), entry.facts
        if entry.event in ("founded", "gates"):
            return replace(now, gates_sha256=str(facts["gates_sha256"]))
        if entry.event == "intent":
            return replace(now, intent=entry.seq)
        if entry.event == "refused" or (entry.event == "mended" and "intent" in facts):
            return replace(now, intent=None)
        if entry.event == "promoted":
            one = promoted_by(entry)
            return replace(
                now,
                champions=(*now.champions, one),
                intent=None,
                used=now.used | {str(facts["approval_sha256"])},
                challenger=_unless(now.challenger, one),  # who is champion is challenger and shadow no more
                shadow=_unless(now.shadow, one),
            )
        if entry.event in ("rolled-back", "fell-back"):
            place = _place(now.champions, str(facts["bundle_sha256"]))
            return replace(now, champions=(*now.champions[:place], promoted_by(entry)), intent=None)
        if entry.event == "renewed":
            return replace(now, used=now.used | {str(facts["approval_sha256"])})
        if entry.event in ROLES:
            held = promoted_by(entry) if facts.get("bundle_sha256") else None
            return replace(now, challenger=held) if entry.event == "challenger" else replace(now, shadow=held)
        return now


def replayed(entries: Iterable[Entry]) -> State:
    """The state after all entries. Raises HistoryBroken: an entry goes back to what was never champion."""
    state = State()
    for entry in entries:
        try:
            state = state.after(entry)
        except (KeyError, ValueError, LookupError):
            raise HistoryBroken(
                f"history.jsonl, line {entry.seq}", found=f"'{entry.event}' without its facts", expected="all of them"
            ) from None
    return state


def promoted_by(entry: Entry) -> Promoted:
    """The bundle that this entry put in its place."""
    sha256, version = str(entry.facts["bundle_sha256"]), str(entry.facts["version"])
    return Promoted(sha256, version, datetime.fromisoformat(entry.time), entry.seq)


def _unless(held: Promoted | None, champion: Promoted) -> Promoted | None:
    return None if held is not None and held.bundle_sha256 == champion.bundle_sha256 else held


def _place(champions: tuple[Promoted, ...], sha256: str) -> int:
    """Where the last champion with this bundle stands, the one in force left out."""
    for place in range(len(champions) - 2, -1, -1):
        if champions[place].bundle_sha256 == sha256:
            return place
    raise LookupError(sha256)
