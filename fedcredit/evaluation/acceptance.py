"""Outcomes of accepted companies, and the scores of all applicants, become figures for all applicants, with bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.errors import ConfigError, TableError
from fedcredit.evaluation.grid import GRID, ScoreGrid, equal_mass
from fedcredit.evaluation.separation import auc_of_counts

BINS = 20
FEWEST = 10  # accepted companies of a bin whose default rate is taken for the refused ones of that bin
STEPS = 9  # factors tried between the ends
ASSUMPTIONS = (
    "The refused of a score bin default as the accepted of that bin do, but for the difference of their PDs, times the "
    "odds factor of the bounds: the score holds what the old policy knew of the risk. These rows cannot show it.",
    "Applicants whose score bin holds fewer than 10 accepted companies are outside: nothing is said of them.",
    "Accepted companies were not changed by being accepted (a loan neither saves nor sinks them).",
)


@dataclass(frozen=True)
class Bounded:
    """A figure when the refused are like the accepted of the same score, and its range up to the odds factor."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Acceptance:
    """Figures of accepted companies as they are, and corrected for all applicants.

    outside: the share of applicants of whom nothing is said. rate_without: bounds of the default rate among all
    applicants that hold under no assumption at all: none of the refused defaults, or all of them (Manski 2003).
    """

    applicants: int
    accepted: int
    outside: float
    factor: float
    auc_accepted: float | None
    auc: Bounded
    rate_accepted: float
    rate: Bounded
    rate_without: tuple[float, float]
    observed_expected: Bounded


def corrected(
    accepted: ArrayLike, applicants: ArrayLike, *, factor: float = 2.0, bins: int = BINS, grid: ScoreGrid = GRID
) -> Acceptance:
    """Evaluation for all applicants from labels of the accepted ones alone: imputed by score, with bounds.

    `accepted` are counts (2, bins) with outcomes, `applicants` counts (bins,) of everybody's scores, which need no
    label. In each of about `bins` score bins the refused take the accepted's default rate, moved by the difference of
    their mean PDs in log-odds (missing at random given the score, Little and Rubin 2019). The bounds let the refused
    of a bin have odds of default from 1/factor to factor times that.

    Raises ConfigError for a factor below 1, TableError where more companies were accepted than applied.

    By hand, two bins: 100 of 100 and 50 of 100 accepted, with rates .1 and .2: (10 + 20) / 200.

    >>> grid = ScoreGrid(bins=2)
    >>> found = corrected([[90, 40], [10, 10]], [100, 100], factor=1.0, bins=2, grid=grid)
    >>> found.rate.value, found.rate_accepted, found.rate_without
    (0.15, 0.13333333333333333, (0.1, 0.35))
    """
    if not 1 <= factor <= 100:
        raise ConfigError("acceptance, factor", found=f"{factor}", expected="1 to 100")
    table, everybody = grid.check(accepted), _applicants(applicants, grid)
    if not bool((table.sum(axis=0) <= everybody).all()):
        expected = "every accepted company among the applicants, by the same score"
        raise TableError("applicants", found="fewer of a score than were accepted", expected=expected)
    which = equal_mass(everybody, bins=bins)
    enough = np.bincount(which, table.sum(axis=0), bins) >= FEWEST
    held = enough[which]
    inside = (table * held, everybody * held, which, grid.pd)
    ends = np.geomspace(1 / factor, factor, STEPS) if factor > 1 else np.array([1.0])
    drawn = [_figures(*inside, odds=float(one)) for one in ends]
    middle = _figures(*inside, odds=1.0)
    auc, rate, ratio = (_bounded([one[k] for one in drawn], middle[k]) for k in range(3))
    defaults, accepted_n, n = float(table[1].sum()), float(table.sum()), float(everybody.sum())
    return Acceptance(
        applicants=round(n),
        accepted=round(accepted_n),
        outside=float(everybody[~held].sum() / n),
        factor=factor,
        auc_accepted=auc_of_counts(table),
        auc=auc,
        rate_accepted=defaults / accepted_n if accepted_n else float("nan"),
        rate=rate,
        rate_without=(defaults / n, (defaults + n - accepted_n) / n),
        observed_expected=ratio,
    )


Floats = NDArray[np.float64]


def _figures(
    table: Floats, everybody: Floats, which: NDArray[np.intp], pd: Floats, *, odds: float
) -> tuple[float | None, ...]:
    """AUC, default rate and observed / expected when the refused have `odds` times the accepted's odds.

    What the refused of a wide bin owe in defaults is laid on its fine bins in proportion to their PDs.
    """
    refused = everybody - table.sum(axis=0)
    good, bad, total, others = (_summed(which, side) for side in (*table, everybody, refused))
    if not total.sum():
        return None, None, None
    seen = _per(bad, good + bad)
    # Inside a wide bin the refused have other PDs than the accepted: their odds differ by as much.
    theirs, ours = (_summed(which, side * pd) for side in (refused, table.sum(axis=0)))
    shift = odds * _odds(_per(theirs, others)) / np.maximum(_odds(_per(ours, good + bad)), 1e-12)
    rate = shift * seen / (shift * seen + 1 - seen)
    placed = refused * np.minimum(pd * _per(rate * others, theirs)[which], 1.0)
    bads = table[1] + placed
    defaults, expected = float(bads.sum()), float((everybody * pd).sum())
    return auc_of_counts([everybody - bads, bads]), defaults / float(total.sum()), defaults / expected


def _summed(which: NDArray[np.intp], values: Floats) -> Floats:
    return np.bincount(which, values).astype(np.float64)


def _odds(rate: Floats) -> Floats:
    return rate / np.maximum(1 - rate, 1e-12)


def _per(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _bounded(values: list[float | None], middle: float | None) -> Bounded:
    known = [value for value in (*values, middle) if value is not None]
    return Bounded(middle, min(known), max(known)) if known else Bounded(None, None, None)


def _applicants(counts: ArrayLike, grid: ScoreGrid) -> Floats:
    found = np.asarray(counts, dtype=np.float64)
    if found.shape != (grid.bins,) or not bool((np.isfinite(found) & (found >= 0)).all()) or not found.sum():
        raise TableError("applicants", found=f"shape {found.shape}", expected=f"({grid.bins},) counts, one or more")
    return found
