"""A company's PDs by period become its path of grades: where it stood, and how far it moved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fedcredit.credit.scale import DEFAULTED, MASTER, MasterScale
from fedcredit.errors import ConfigError

Move = Literal["first", "upgrade", "downgrade", "same", "default"]


@dataclass(frozen=True)
class Stop:
    """A period of the path; notches: how many better than the period before, negative when worse."""

    period: str
    pd: float
    grade: str
    number: int
    notches: int
    move: Move


def path(
    scores: Iterable[tuple[str, float]], *, defaulted: str | None = None, scale: MasterScale = MASTER
) -> list[Stop]:
    """The path of (period, PD) pairs, in any order; `defaulted` names the period in which the company defaulted.

    From its default on a company is D, whatever a score says; where no score of that period is known, a stop is added.
    Periods are compared as text, which orders ISO dates and months.

    Raises:
        ConfigError: a period twice, or a PD outside 0..1.

    >>> [(stop.period, stop.grade, stop.notches, stop.move) for stop in path([("2024", 0.068), ("2025", 0.0027)])]
    [('2024', 'B+', 0, 'first'), ('2025', 'A', 8, 'upgrade')]
    """
    known = sorted(scores)
    periods = [period for period, _ in known]
    if len(set(periods)) != len(periods):
        raise ConfigError("path", found="a period twice", expected="one score a period")
    if defaulted is not None and defaulted not in periods:
        known = sorted([*known, (defaulted, 1.0)])
    stops: list[Stop] = []
    for period, pd in known:
        is_bad = defaulted is not None and period >= defaulted
        place = int(scale.place([pd])[0])
        grade = scale.grade(DEFAULTED) if is_bad else scale.grades[place]
        notches = stops[-1].number - grade.number if stops else 0
        stops.append(
            Stop(period, 1.0 if is_bad else pd, grade.name, grade.number, notches, _move(stops, grade.name, notches))
        )
    return stops


def _move(before: list[Stop], grade: str, notches: int) -> Move:
    if grade == DEFAULTED and not (before and before[-1].grade == DEFAULTED):
        return "default"
    if not before:
        return "first"
    return "upgrade" if notches > 0 else "downgrade" if notches < 0 else "same"
