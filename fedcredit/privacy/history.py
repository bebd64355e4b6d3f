"""Entries of a ledger into the mechanisms that a company has undergone, or may yet undergo under open plans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from fedcredit.privacy.entry import Entry
from fedcredit.privacy.mechanism import Mechanism

Counts = dict[str, Counter[Mechanism]]


def charged(entries: Iterable[Entry]) -> list[Mechanism]:
    """What was charged, with equal mechanisms added up."""
    total: Counter[Mechanism] = Counter()
    for entry in entries:
        if entry.event == "charge":
            total[entry.spends.once] += entry.count
    return _as_list(total)


def committed(entries: Iterable[Entry]) -> list[Mechanism]:
    """What was charged, and of open plans what they may still charge: none of it can be given to another run."""
    plans: Counts = {}
    charges: Counts = {}
    closed: set[str] = set()
    for entry in entries:
        if entry.event == "close":
            closed.add(entry.run)
            continue
        into = plans if entry.event == "plan" else charges
        into.setdefault(entry.run, Counter())[entry.spends.once] += entry.count
    total: Counter[Mechanism] = Counter()
    for run in {**plans, **charges}:
        spent = charges.get(run, Counter())
        rest = Counter[Mechanism]() if run in closed else remaining(plans.get(run, Counter()), spent)[0]
        total += spent + rest
    return _as_list(total)


def remaining(plan: Counter[Mechanism], charges: Counter[Mechanism]) -> tuple[Counter[Mechanism], Counter[Mechanism]]:
    """What a plan may still charge, and what was charged beyond it, by single mechanisms.

    A charge takes the place of a planned one that covers it: the same, or with less noise. So a round whose noise is
    known only at its end (more institutions survived than was planned for) is reserved at its worst.

    >>> worst, seen = Mechanism("training", 4.0), Mechanism("training", 5.0)
    >>> rest, beyond = remaining(Counter({worst: 3}), Counter({seen: 2}))
    >>> rest[worst], beyond.total()
    (1, 0)
    """
    rest, beyond = Counter(plan), Counter[Mechanism]()
    for charge, count in sorted(charges.items(), key=lambda item: item[0].noise_scale):
        fitting = sorted((one for one in rest if one.covers(charge)), key=lambda one: -one.noise_scale)
        for one in fitting:
            taken = min(count, rest[one])
            rest[one] -= taken
            count -= taken
        beyond[charge] += count
    return +rest, +beyond


def _as_list(total: Counter[Mechanism]) -> list[Mechanism]:
    return [mechanism.times(count) for mechanism, count in total.items()]
