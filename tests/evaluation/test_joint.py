"""Two models judged on the same companies from counts alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.errors import TableError
from fedcredit.evaluation.delong import paired_difference
from fedcredit.evaluation.grid import pooled
from fedcredit.evaluation.joint import JOINT_GRID, joint_counts, paired_auc


def two_models(seed: int, *, n: int = 1_500) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.normal(-1.5, 1.2, n)
    first, second = (1 / (1 + np.exp(-(true + noise * rng.normal(size=n)))) for noise in (0.3, 1.5))
    return first, second, (rng.random(n) < 1 / (1 + np.exp(-true))).astype(int)


def test_the_difference_is_delongs_on_the_counted_scores() -> None:
    first, second, y = two_models(1)
    found = paired_auc(joint_counts(first, second, y))
    assert found is not None
    binned = [JOINT_GRID.pd[JOINT_GRID.place(p)] for p in (first, second)]
    assert tuple(found) == pytest.approx(tuple(paired_difference(y, *binned)), abs=1e-12)


def test_counting_moves_the_difference_by_less_than_a_thousandth() -> None:
    first, second, y = two_models(2, n=20_000)
    found = paired_auc(joint_counts(first, second, y))
    assert found is not None
    assert found.point == pytest.approx(paired_difference(y, first, second).point, abs=1e-3)
    assert found.low > 0


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), institutions=st.integers(1, 9))
def test_federated_difference_is_the_pooled_one(seed: int, institutions: int) -> None:
    first, second, y = two_models(seed, n=400)
    where = np.random.default_rng(seed).integers(institutions, size=y.size)
    parts = (joint_counts(first[where == i], second[where == i], y[where == i]) for i in range(institutions))
    assert paired_auc(pooled(parts)) == paired_auc(joint_counts(first, second, y))


def test_one_class_has_no_difference() -> None:
    assert paired_auc(joint_counts([0.1, 0.2], [0.2, 0.1], [0, 0])) is None


def test_what_does_not_fit_is_refused() -> None:
    for first, second, y in [([0.1], [0.1, 0.2], [0, 1]), ([0.1], [0.1], [2]), ([np.nan], [0.1], [1])]:
        with pytest.raises(TableError):
            joint_counts(first, second, y)
    with pytest.raises(TableError):
        paired_auc(np.zeros((2, 4)))
