"""Evaluations that institutions answered with counts become the outcomes that a model is calibrated on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import ConfigError, FederationError, TableError
from fedcredit.evaluation.grid import LOGIT_LIMIT, ScoreGrid
from fedcredit.evaluation.noised import tidied, wide_starts
from fedcredit.evaluation.wide_bins import WIDTH, Bins, wide_bins

if TYPE_CHECKING:
    from fedcredit.federation.evaluate import Evaluated

RAW = "p"
MOST = 100
LARGEST = 1 << 40  # of one cell, over all institutions
HINT = "name the result.json of a deployed unit, or the evaluations.json of an experiment's"


def is_evaluations(told: Any) -> bool:
    """Whether this is the content of an evaluations.json, or of a result.json."""
    return isinstance(told, list) or (isinstance(told, dict) and "evaluations" in told)


def chosen(told: Any, *, number: int | None, where: str) -> Evaluated:
    """The evaluation of that number, from 1; the last where none is named.

    An evaluation counts what the model itself gives, before any step of a card.

    Raises:
        TableError: there is no such evaluation, it has another form, counts that cannot be, or calibrated scores.
    """
    from server.evaluated import from_facts

    listed = told if isinstance(told, list) else told["evaluations"]
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST:
        raise TableError(where, found="no evaluations", expected=f"1 to {MOST}", hint=HINT)
    if number is not None and not 1 <= number <= len(listed):
        raise TableError(f"{where}, evaluation", found=str(number), expected=f"1 to {len(listed)}")
    facts = listed[(number or len(listed)) - 1]
    if isinstance(facts, dict) and facts.get("of", RAW) != RAW:
        hint = "PDs that were calibrated already: calibrate on counts of the model's own output"
        raise TableError(where, found=f"counts of {facts['of']!r:.20}", expected=f"counts of {RAW!r}", hint=hint)
    try:
        one = from_facts(facts)
    except (FederationError, ConfigError, AttributeError, TypeError, OverflowError) as fault:
        raise TableError(where, found="an evaluation of another form", expected="counts", hint=HINT) from fault
    _check(one, where=where)
    return one


def _check(one: Evaluated, *, where: str) -> None:
    noise = [value for value in (one.epsilon_metrics, one.delta, one.deviation) if value is not None]
    if not all(math.isfinite(value) and value >= 0 for value in noise):
        raise TableError(where, found="noise that is no number", expected="epsilon, delta and deviation, 0 or more")
    if one.epsilon_metrics is None and one.counts.min() < 0:
        raise TableError(where, found="exact counts below 0", expected="0 or more", hint="only noise goes below 0")
    if one.counts.min() < -LARGEST or one.counts.max() > LARGEST:
        raise TableError(where, found="a count that no federation has", expected=f"at most {LARGEST:,} in size")


def total(one: Evaluated) -> tuple[NDArray[np.float64], Bins]:
    """Good and bad rows of all segments by bin, and the bins; noised ones tidied, on wide bins wherever they can be.

    Narrow bins are added up before noise is tidied: noise that is below 0 in one and above in the next then cancels.
    """
    counts: NDArray[np.int64] = one.counts.sum(axis=0)
    grid, is_wide = ScoreGrid(bins=one.question.bins, limit=LOGIT_LIMIT), one.question.is_coarse
    if one.epsilon_metrics is None:
        exact = counts.astype(np.float64)
        return exact, (wide_bins(exact) if is_wide else grid)
    if not is_wide and 2 * grid.limit / grid.bins <= WIDTH:
        counts, is_wide = np.add.reduceat(counts, wide_starts(grid), axis=1), True
    found = tidied(counts)
    return found, (wide_bins(found) if is_wide else grid)
