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
        open_plan: Counter[Mechanism] = Counter() if run in closed else plans.get(run, Counter())
        total += open_plan | charges.get(run, Counter())  # the larger of both, for each mechanism
    return _as_list(total)


def _as_list(total: Counter[Mechanism]) -> list[Mechanism]:
    return [mechanism.times(count) for mechanism, count in total.items()]
