"""Labels of accepted companies alone: what the correction mends, what its bounds hold, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fedcredit.errors import ConfigError, TableError
from fedcredit.evaluation.acceptance import corrected
from fedcredit.evaluation.grid import GRID
from fedcredit.evaluation.metrics import auc

N = 60_000


def applicants(seed: int, *, hidden: float = 1.0) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """PDs, outcomes and who was accepted: the safer the likelier; refused have `hidden` times the odds of their PD."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-2.2, 1.1, N)
    is_accepted = rng.random(N) < 1 / (1 + np.exp(1.5 * (z + 1.5)))
    p = 1 / (1 + np.exp(-z))
    true = 1 / (1 + np.exp(-(z + np.where(is_accepted, 0.0, np.log(hidden)))))
    return p, (rng.random(N) < true).astype(np.int64), is_accepted


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_correction_gives_the_figures_of_all_applicants(seed: int) -> None:
    p, y, is_accepted = applicants(seed)
    found = corrected(GRID.count(p[is_accepted], y[is_accepted]), GRID.count(p, y).sum(axis=0))
    truth = auc(y, p)
    assert found.auc.value == pytest.approx(truth, abs=0.01)
    assert found.auc_accepted is not None
    assert truth - found.auc_accepted > 0.02  # what accepted companies alone say is too low
    assert found.rate.value == pytest.approx(y.mean(), abs=0.006)
    assert found.rate_accepted < 0.7 * y.mean()
    assert found.observed_expected.value == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("hidden", [0.55, 0.8, 1.3, 1.8])
def test_bounds_hold_the_truth_when_the_refused_are_worse_or_better_than_their_score(hidden: float) -> None:
    p, y, is_accepted = applicants(3, hidden=hidden)
    found = corrected(GRID.count(p[is_accepted], y[is_accepted]), GRID.count(p, y).sum(axis=0), factor=2.0)
    for bounded, truth in ((found.rate, y.mean()), (found.observed_expected, y.sum() / p.sum())):
        assert bounded.low is not None
        assert bounded.high is not None
        assert bounded.low <= truth <= bounded.high
    assert found.rate_without[0] <= y.mean() <= found.rate_without[1]


def test_everybody_accepted_changes_nothing() -> None:
    p, y, _ = applicants(4)
    counts = GRID.count(p, y)
    found = corrected(counts, counts.sum(axis=0), factor=5.0)
    assert found.auc.value == pytest.approx(found.auc_accepted, abs=1e-12)
    assert found.auc.low == pytest.approx(found.auc.high, abs=1e-12)
    assert found.rate_without == (found.rate_accepted, found.rate_accepted)


def test_applicants_without_accepted_neighbours_are_outside() -> None:
    p, y, _ = applicants(5)
    is_accepted = p < 0.1  # a hard cut: nobody above it has an outcome
    found = corrected(GRID.count(p[is_accepted], y[is_accepted]), GRID.count(p, y).sum(axis=0))
    assert found.outside == pytest.approx((p >= 0.1).mean(), abs=0.06)


def test_more_accepted_than_applied_is_refused() -> None:
    counts = GRID.count([0.1] * 20, [0] * 20)
    with pytest.raises(TableError):
        corrected(counts, counts.sum(axis=0) - (counts.sum(axis=0) > 0))
    with pytest.raises(TableError):
        corrected(counts, counts)
    with pytest.raises(ConfigError):
        corrected(counts, counts.sum(axis=0), factor=0.5)
