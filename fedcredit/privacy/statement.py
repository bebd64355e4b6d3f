"""A ledger's entries become what a person asks of it: spent by study, left for a lifetime, cost of the next run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedcredit.privacy.accounting import solve_noise
from fedcredit.privacy.ceilings import Ceilings
from fedcredit.privacy.entry import Entry
from fedcredit.privacy.history import charged, committed
from fedcredit.privacy.mechanism import Mechanism, joint_epsilon

MOST_REPEATS = 1024


@dataclass(frozen=True)
class StudySpend:
    """What the runs of one study charged together; repeats and failed runs count. Its evaluations stand apart too."""

    study: str
    runs: int
    charges: int
    epsilon: float
    epsilon_metrics: float = 0.0


@dataclass(frozen=True)
class NextRun:
    """A run like the last plan, or one of another epsilon: its own epsilon, and the lifetime's after it.

    fits: how many such runs the ceiling still covers, one after the other; None without a ceiling.
    """

    epsilon: float
    lifetime_after: float
    fits: int | None


@dataclass(frozen=True)
class Statement:
    """Of one population, at `delta`, the smallest of its runs. committed: spent, and reserved by open plans."""

    population: str
    delta: float
    lifetime: float
    committed: float
    ceiling: float | None
    left: float | None
    institutions: int
    across_institutions: float
    studies: tuple[StudySpend, ...]
    next_run: NextRun | None


@dataclass(frozen=True)
class Figures:
    """Epsilon of one run, of its study, of the companies' lifetime here, and across a declared number of
    institutions if all of them do the same.
    """

    run: float
    study: float
    lifetime: float
    across_institutions: float


def figures(entries: Sequence[Entry], *, run: str, population: str, institutions: int = 1) -> Figures:
    """Epsilon of what was charged, in the ways it is shown; each figure by PLD, at the smallest delta here."""
    mine = [entry for entry in entries if entry.population == population]
    own = [entry for entry in mine if entry.run == run]
    study = [entry for entry in mine if own and entry.study == own[0].study]
    delta = _delta(mine)
    return Figures(
        run=joint_epsilon(charged(own), delta=delta),
        study=joint_epsilon(charged(study), delta=delta),
        lifetime=joint_epsilon(charged(mine), delta=delta),
        across_institutions=joint_epsilon(charged(mine), delta=delta, institutions=institutions),
    )


def statements(
    entries: Sequence[Entry], *, ceilings: Ceilings | None = None, next_epsilon: float | None = None
) -> list[Statement]:
    """A statement for each population of the ledger, in order of their names."""
    limits = ceilings or Ceilings()
    names = sorted({entry.population for entry in entries})
    return [
        _statement([e for e in entries if e.population == name], name, limits, next_epsilon=next_epsilon)
        for name in names
    ]


def _statement(
    entries: Sequence[Entry], population: str, ceilings: Ceilings, *, next_epsilon: float | None
) -> Statement:
    delta, done = _delta(entries), committed(entries)
    epsilon, ceiling = joint_epsilon(done, delta=delta), ceilings.lifetime_epsilon
    spent = charged(entries)
    return Statement(
        population=population,
        delta=delta,
        lifetime=joint_epsilon(spent, delta=delta),
        committed=epsilon,
        ceiling=ceiling,
        left=None if ceiling is None else max(0.0, ceiling - epsilon),
        institutions=ceilings.institutions,
        across_institutions=joint_epsilon(spent, delta=delta, institutions=ceilings.institutions),
        studies=tuple(_study(entries, study, delta=delta) for study in dict.fromkeys(e.study for e in entries)),
        next_run=_next(entries, done, delta=delta, ceiling=ceiling, epsilon=next_epsilon),
    )


def _study(entries: Sequence[Entry], study: str, *, delta: float) -> StudySpend:
    mine = [entry for entry in entries if entry.study == study]
    charges = [entry for entry in mine if entry.event == "charge"]
    runs = len({entry.run for entry in mine})
    metrics = [entry for entry in charges if entry.kind == "metrics"]
    return StudySpend(
        study,
        runs,
        len(charges),
        joint_epsilon(charged(charges), delta=delta),
        joint_epsilon(charged(metrics), delta=delta),
    )


def _next(
    entries: Sequence[Entry], done: list[Mechanism], *, delta: float, ceiling: float | None, epsilon: float | None
) -> NextRun | None:
    plans = [entry for entry in entries if entry.event == "plan"]
    trained = {entry.run for entry in plans if entry.kind == "training"}
    plans = [entry for entry in plans if entry.run in trained] or plans  # a study's evaluations are no run
    if not plans:
        return None
    plan = [entry.spends for entry in plans if entry.run == plans[-1].run]
    if epsilon is not None:
        training = plan[0]
        noise = solve_noise(epsilon, delta=delta, sample_rate=training.sample_rate, steps=training.count)
        plan = [
            Mechanism(
                "training",
                noise,
                sampling=training.sampling,
                sample_rate=training.sample_rate,
                count=training.count,
            )
        ]

    def after(runs: int) -> float:
        return joint_epsilon([*done, *(one.times(runs) for one in plan if runs)], delta=delta)

    fits = None if ceiling is None else _largest(lambda runs: after(runs) <= ceiling)
    return NextRun(joint_epsilon(plan, delta=delta), after(1), fits)


def _largest(covers: Callable[[int], bool]) -> int:
    """The largest number that is covered, up to MOST_REPEATS, where what covers a number covers all below it."""
    low, high = 0, 1
    while high <= MOST_REPEATS and covers(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if covers(middle) else (low, middle)
    return low


def _delta(entries: Sequence[Entry]) -> float:
    return min((entry.delta for entry in entries), default=math.nan)
