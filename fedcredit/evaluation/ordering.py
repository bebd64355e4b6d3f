"""Companies and defaults of neighbouring grades become the question whether the scale tells them apart."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from scipy.stats import hypergeom

from fedcredit.evaluation.grades import GradeCounts
from fedcredit.evaluation.holm import holm
from fedcredit.evaluation.intervals import Interval
from fedcredit.evaluation.proportions import difference, wilson


def fisher_test(safe: tuple[int, int], risky: tuple[int, int]) -> float:
    """Chance that the riskier grade has this many defaults or more if both have one rate; each is (defaults, of).

    Fisher's exact test, one-sided, which holds for any number of defaults. The example is his own (The Design of
    Experiments, 1935): of four cups with milk first the lady names three, of four others one; 17 / 70.

    >>> round(fisher_test((1, 4), (3, 4)), 6), round(17 / 70, 6)
    (0.242857, 0.242857)
    """
    (d, n), (more, of) = safe, risky
    return float(hypergeom.sf(more - 1, n + of, d + more, of))


@dataclass(frozen=True)
class Neighbours:
    """Two neighbouring grades that have companies: how much the riskier defaults more, with its 95 % interval.

    p: of equal rates against the rising order; holm: beside all other pairs. is_reversed: the riskier defaults less.
    """

    safe: str
    risky: str
    difference: float
    low: float
    high: float
    p: float
    holm: float

    @property
    def is_reversed(self) -> bool:
        return self.difference < 0


@dataclass(frozen=True)
class Ordering:
    """All pairs of neighbours; distinct: the share of them that is told apart at `significance`."""

    pairs: tuple[Neighbours, ...]
    reversals: int
    distinct: float | None


def ordering(grades: GradeCounts, *, significance: float = 0.05) -> Ordering:
    """Whether each grade defaults more than the safer one before it (EBA/GL/2017/16: grades must differ in risk).

    >>> grades = GradeCounts(("A", "B", "C"), (1000, 1000, 1000), (5, 50, 45), (0.005, 0.03, 0.05))
    >>> found = ordering(grades)
    >>> found.reversals, found.distinct, [round(pair.difference, 3) for pair in found.pairs]
    (1, 0.5, [0.045, -0.005])
    """
    kept = grades.with_companies()
    rows = list(zip(kept.names, kept.defaults, kept.companies, strict=True))
    steps = list(pairwise(rows))
    p = [fisher_test(safe[1:], risky[1:]) for safe, risky in steps]
    pairs = tuple(
        Neighbours(safe[0], risky[0], *_apart(safe[1:], risky[1:]), value, adjusted if adjusted is not None else 1.0)
        for (safe, risky), value, adjusted in zip(steps, p, holm(p), strict=True)
    )
    told = sum(pair.holm < significance for pair in pairs)
    return Ordering(pairs, sum(pair.is_reversed for pair in pairs), told / len(pairs) if pairs else None)


def _apart(safe: tuple[int, int], risky: tuple[int, int]) -> Interval:
    return difference(wilson(*risky), wilson(*safe))
