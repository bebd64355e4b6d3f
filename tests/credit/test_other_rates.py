"""What another long-run rate would do, told from counts of scores."""

from __future__ import annotations

import numpy as np
import pytest

from fedcredit.credit.other_rates import other_rates
from fedcredit.credit.scale import MASTER
from fedcredit.evaluation.grid import GRID
from fedcredit.models.calibrated import PriorShift, Step


def shifted(to: float) -> tuple[Step, ...]:
    return (PriorShift(0.05, to),)


def test_mean_and_moved_share_are_those_of_the_companies_themselves() -> None:
    z = np.random.default_rng(0).normal(-3, 1.2, 20_000)
    p = 1 / (1 + np.exp(-z))
    found = other_rates(GRID.count(p, np.zeros(len(p))).sum(axis=0), rate=0.03, steps_at=shifted)
    chosen = MASTER.place(PriorShift(0.05, 0.03).apply(p))
    for one, rate in zip(found, (0.015, 0.03, 0.045), strict=True):
        pd = PriorShift(0.05, rate).apply(p)
        assert one.rate == pytest.approx(rate)
        assert one.mean_pd == pytest.approx(float(pd.mean()), rel=0.002)
        assert one.moved == pytest.approx(float((np.abs(MASTER.place(pd) - chosen) > 1).mean()), abs=0.04)


def test_rate_that_would_be_1_or_more_is_left_out() -> None:
    found = other_rates(np.ones(512), rate=0.7, steps_at=shifted)
    assert [one.rate for one in found] == [0.35, 0.7]


def test_bins_without_companies_count_nothing() -> None:
    scores = np.zeros(512)
    scores[200] = 5
    assert {one.moved for one in other_rates(scores, rate=0.02, steps_at=shifted)} <= {0.0, 1.0}
