"""A run's rounds become the list of updates that were not used, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedcredit.evaluation.plots import variant_name

LATE = "late: nothing came in time"


@dataclass(frozen=True)
class Incident:
    """One institution's rounds with one fate, under one way of training; `rounds` says which, by seed."""

    variant: str
    institution: str
    what: str
    count: int
    rounds: str


def incidents(history: Sequence[Mapping[str, Any]]) -> list[Incident]:
    """Quarantined and late updates of the report's `rounds`, gathered by variant, institution and reason.

    >>> entry = {"arm": "federated", "method": "fedsgd", "seed": 0, "quarantined": {"B": "not_finite"}, "missing": []}
    >>> incidents([{**entry, "round": number} for number in (1, 2, 3, 7)])[0].rounds
    'seed 0: 1-3, 7'
    """
    found: dict[tuple[str, str, str], dict[Any, list[int]]] = {}
    for entry in history:
        for institution, what in _fates(entry):
            seeds = found.setdefault((variant_name(entry), institution, what), {})
            seeds.setdefault(entry.get("seed"), []).append(int(entry["round"]))
    return [
        Incident(
            *key,
            sum(map(len, seeds.values())),
            "; ".join(f"seed {seed}: {_ranges(sorted(numbers))}" for seed, numbers in seeds.items()),
        )
        for key, seeds in found.items()
    ]


def _fates(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for institution, reason in (entry.get("quarantined") or {}).items():
        yield str(institution), f"quarantined: {reason}"
    for institution in entry.get("missing") or ():
        yield str(institution), LATE


def _ranges(numbers: Sequence[int]) -> str:
    """Rounds that follow each other as a range: 1-3, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
