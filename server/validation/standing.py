"""A model's desk becomes what a validation needs of it: the champion, the approvals, the history, the age of scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedcredit.trust.envelope import peek, signers_of
from server.promotion.approvals import KIND, approval_path
from server.promotion.desk import Desk
from server.promotion.gates_file import read_sealed
from server.promotion.subject import desk_of
from server.scoring.places import BOOK
from server.scoring.weigh import weigh_file
from server.validation.evidence import Figure, figure, unknown

LAST = 20  # lines of the history that are shown
NO_BOOK = "nothing was scored yet: fedcredit model rescore keeps the score book that tells the age"


@dataclass(frozen=True)
class Standing:
    """champion: its folder on the desk, None before the first promotion. approvals and history: rows of tables.

    book: where the score book is, or would be.
    """

    champion: Path | None
    champion_version: str | None
    approvals: tuple[tuple[str, ...], ...]
    history: tuple[tuple[str, ...], ...]
    data_age_hours: Figure
    book: Path


def standing(runs: Path, *, name: str, sha256: str, now: datetime) -> Standing:
    """What the desk of this model says of this bundle; a desk that was never founded says nothing.

    Raises:
        PolicyRefused: the history or the gates were edited by hand.
        ModelError: the champion's bundle is not what was promoted.
    """
    desk = desk_of(name, runs=runs)
    champion = desk.champion()
    return Standing(
        champion=desk.bundle(champion.bundle_sha256) if champion else None,
        champion_version=champion.version if champion else None,
        approvals=_approvals(desk, sha256) if desk.is_founded else (),
        history=_history(desk),
        data_age_hours=_age(desk.folder / BOOK, now=now),
        book=desk.folder / BOOK,
    )


def _approvals(desk: Desk, sha256: str) -> tuple[tuple[str, ...], ...]:
    """One row for the bundle's approval: only signatures that hold, by approvers whom the gates name."""
    data = read_sealed(approval_path(desk, sha256))
    if data is None:
        return ()
    gates, body = desk.gates(), peek(data, kind=KIND)
    held = signers_of(data, kind=KIND, signers=gates.approvers.values())
    persons = [person for person, one in gates.approvers.items() if one.fingerprint in held]
    needed = f"{len(persons)} of {gates.threshold}"
    return (
        (
            "promote",
            ", ".join(persons) or "nobody",
            needed,
            *(str(body.get(key)) for key in ("evidence_sha256", "expires")),
        ),
    )


def _history(desk: Desk) -> tuple[tuple[str, ...], ...]:
    entries = list(desk.history())[-LAST:]
    return tuple((str(one.seq), one.time, one.event, _version(one.facts)) for one in entries)


def _version(told: Mapping[str, object]) -> str:
    return str(told.get("version") or str(told.get("bundle_sha256", "–"))[:12])


def _age(book: Path, *, now: datetime) -> Figure:
    found = weigh_file(book, now=now) if book.is_file() else None
    if found is None or found.oldest_hours is None:
        return unknown(NO_BOOK)
    about = f"age of the oldest score of {found.live} living companies; {found.fresh} are under {found.hours:g} hours"
    return figure(found.oldest_hours, about=about)
