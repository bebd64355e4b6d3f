"""A ranking of applicants becomes what its institution sees: who is approved, who defaults, what is lost."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.evaluation.metrics import Floats


class Queue(NamedTuple):
    """Applicants from the safest on: running totals (steps + 1, draws) of rows, defaults and defaulted exposure."""

    accepted: Floats
    bads: Floats
    lost: Floats


def queue(y: ArrayLike, p: ArrayLike, *, exposure: ArrayLike, weights: ArrayLike) -> Queue:
    """Running totals under each draw's row weights (rows, draws); equal scores are approved together.

    Neighbouring steps without defaults are taken as one: every figure below is straight along them.
    """
    score, outcome = np.asarray(p, dtype=np.float64), np.asarray(y).astype(bool)
    order = np.argsort(score)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(score[order])) + 1])
    has_bad = np.add.reduceat(outcome[order].astype(np.intp), starts) > 0
    starts = starts[has_bad | np.concatenate([[True], has_bad[:-1]])]
    drawn = np.asarray(weights)[order]
    places = np.flatnonzero(outcome[order])
    steps = np.searchsorted(starts, places, side="right") - 1
    bad = drawn[places]
    lost = bad * np.asarray(exposure, dtype=np.float64)[order][places, None]
    accepted = np.add.reduceat(drawn, starts, axis=0, dtype=np.float64)
    return Queue(_totals(accepted), *(_totals(_by_step(part, steps, count=len(starts))) for part in (bad, lost)))


def _by_step(rows: NDArray[np.floating[Any]], steps: NDArray[np.intp], *, count: int) -> Floats:
    sums = np.zeros((count, rows.shape[1]))
    if len(steps):
        first = np.concatenate([[0], np.flatnonzero(np.diff(steps)) + 1])
        sums[steps[first]] = np.add.reduceat(rows, first, axis=0, dtype=np.float64)
    return sums


def _totals(steps: Floats) -> Floats:
    totals = np.zeros((len(steps) + 1, steps.shape[1]))
    np.cumsum(steps, axis=0, out=totals[1:])
    return totals


def auc_of(line: Queue) -> Floats:
    """AUC in each draw (draws,)."""
    goods = line.accepted - line.bads
    won = (np.diff(line.bads, axis=0) * (goods[1:] + goods[:-1]) / 2).sum(axis=0)
    return _per(won, line.bads[-1] * goods[-1])


def ks_of(line: Queue) -> Floats:
    """Kolmogorov-Smirnov distance in each draw (draws,)."""
    goods = line.accepted - line.bads
    return np.asarray(np.abs(_per(goods, goods[-1]) - _per(line.bads, line.bads[-1])).max(axis=0))


def _per(part: Floats, total: Floats) -> Floats:
    """NaN in a draw that holds no row of a class."""
    return np.divide(part, total, out=np.full(part.shape, np.nan), where=total > 0)


def bad_rate_at(line: Queue, approval_rate: float) -> Floats:
    """Share of defaults among the approved, when the safest `approval_rate` of the applicants are approved (draws,).

    >>> line = queue([0, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.5], exposure=[1] * 5, weights=[[1]] * 5)
    >>> bad_rate_at(line, 0.8).tolist()
    [0.25]
    """
    target = approval_rate * line.accepted[-1]
    return np.asarray(_at(line.accepted, line.bads, target) / target)


def loss_at(line: Queue, approval_rate: float) -> Floats:
    """Defaulted exposure of the approved, for each applicant of the whole queue (draws,)."""
    total = line.accepted[-1]
    return np.asarray(_at(line.accepted, line.lost, approval_rate * total) / total)


def approval_at(line: Queue, bad_rate: ArrayLike) -> Floats:
    """The largest share of applicants that can be approved with at most this bad rate (draws,).

    >>> line = queue([0, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.5], exposure=[1] * 5, weights=[[1]] * 5)
    >>> approval_at(line, [0.25]).tolist()
    [0.8]
    """
    limit = np.asarray(bad_rate, dtype=np.float64)
    allowed = line.bads <= limit * line.accepted + 1e-9  # counts and rates meet exactly, but for rounding
    last = len(allowed) - 1 - np.argmax(allowed[::-1], axis=0)
    after, draw = np.minimum(last + 1, len(allowed) - 1), np.arange(allowed.shape[1])
    room = limit * line.accepted[last, draw] - line.bads[last, draw]
    width = line.accepted[after, draw] - line.accepted[last, draw]
    excess = line.bads[after, draw] - line.bads[last, draw] - limit * width
    # Part of the next tie group fits, taken at its mean rate; nothing is left to add when all are in.
    part = np.divide(np.maximum(room, 0), excess, out=np.zeros_like(room), where=excess > 0)
    return np.asarray((line.accepted[last, draw] + part * width) / line.accepted[-1])


def _at(steps: Floats, values: Floats, target: Floats) -> Floats:
    """`values` where `steps` reaches the target, straight between tie groups (draws,)."""
    before = np.minimum((steps <= target + 1e-9).sum(axis=0) - 1, len(steps) - 2)
    draw = np.arange(steps.shape[1])
    width = steps[before + 1, draw] - steps[before, draw]
    part = np.divide(target - steps[before, draw], width, out=np.ones_like(width), where=width > 0)
    return np.asarray(values[before, draw] + np.clip(part, 0, 1) * (values[before + 1, draw] - values[before, draw]))
