"""A lower and a higher long-run rate become the mean PD and the grades that would move, from counts of scores alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fedcredit.credit.scale import MASTER, MasterScale
from fedcredit.evaluation.grid import GRID
from fedcredit.evaluation.wide_bins import Bins
from fedcredit.models.calibrated import Step, calibrate

FACTORS = (0.5, 1.0, 1.5)  # the rate that was chosen, and one 50 % lower and higher


@dataclass(frozen=True)
class RateEffect:
    """A rate, the mean PD that it gives, and the share of companies whose grade it moves by more than one notch."""

    rate: float
    mean_pd: float
    moved: float


def other_rates(
    scores: ArrayLike,
    *,
    rate: float,
    steps_at: Callable[[float], Sequence[Step]],
    others: Sequence[float] | None = None,
    grid: Bins = GRID,
    scale: MasterScale = MASTER,
) -> tuple[RateEffect, ...]:
    """What other rates than the chosen one give: half, once and one and a half times it, unless they are named.

    A rate of 1 or more is left out. scores: companies by bin (bins,), all of a bin at the score that stands for it.
    steps_at: the steps of a calibration to a rate. By hand: from 2 % to 1 % the odds halve, from BB+ (2 %) to BBB
    (.9 %); to 3 % it is one notch, to BB.

    >>> from fedcredit.evaluation.grid import ScoreGrid
    >>> from fedcredit.models.calibrated import PriorShift
    >>> found = other_rates([1], rate=0.02, steps_at=lambda to: [PriorShift(0.5, to)], grid=ScoreGrid(bins=1))
    >>> [(round(one.rate, 4), round(one.mean_pd, 4), one.moved) for one in found]
    [(0.01, 0.01, 1.0), (0.02, 0.02, 0.0), (0.03, 0.03, 0.0)]
    """
    companies = np.asarray(scores, dtype=np.float64)
    chosen = scale.place(calibrate(grid.pd, steps_at(rate)))
    found = []
    for to in [factor * rate for factor in FACTORS] if others is None else others:
        if to >= 1:
            continue
        pd = calibrate(grid.pd, steps_at(to))
        is_moved = np.abs(scale.place(pd) - chosen) > 1
        shares = companies / companies.sum()
        found.append(RateEffect(to, float(shares @ pd), float(shares @ is_moved)))
    return tuple(found)
