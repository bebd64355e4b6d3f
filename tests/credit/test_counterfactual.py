"""The smallest change moves at least one notch, in the right direction and within the range, or there is none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.counterfactual import NO_GRADE, Change, GradeAt, smallest_change

Floats = NDArray[np.float64]


def grader(function: object) -> GradeAt:
    def grade_at(rows: NDArray[np.intp], values: Floats) -> NDArray[np.int64]:
        return np.array([function(v) for v in values], dtype=np.int64)  # type: ignore[operator]

    return grade_at


def change(function: object, start: float, end: float, now: int = 5, **rest: bool) -> Change:
    return smallest_change(
        np.array([start]), np.array([end]), now=np.array([now]), grade_at=grader(function), **rest
    )  # fmt: skip


def test_the_value_is_the_nearest_that_moves_a_notch() -> None:
    found = change(lambda v: 4 if v <= 0.5 else 5, 0.9, 0.0, is_monotone=True)
    assert found.value.tolist() == [0.5]
    assert found.grade.tolist() == [4]
    assert change(lambda v: 4 if v >= 61.23 else 5, 30, 1000).value.tolist() == [61.3]  # three digits, beyond it


def test_without_a_value_that_moves_the_grade_there_is_no_change() -> None:
    found = change(lambda v: 5, 0.9, 0.0)
    assert np.isnan(found.value[0])
    assert found.grade.tolist() == [NO_GRADE]
    assert np.isnan(change(lambda v: 4 if v < 0 else 5, 0.9, 0.0).value[0])  # only outside the range


def test_the_best_grade_and_the_best_value_are_asked_nothing() -> None:
    def fails(rows: NDArray[np.intp], values: Floats) -> NDArray[np.int64]:
        assert not len(rows)
        return np.zeros(0, dtype=np.int64)

    found = smallest_change(np.array([0.9, 0.0]), np.array([0.0, 0.0]), now=np.array([0, 5]), grade_at=fails)
    assert np.isnan(found.value).all()


def test_a_change_of_a_model_that_is_not_monotone_is_the_first_on_the_way() -> None:
    found = change(lambda v: 4 if 0.60 <= v <= 0.75 else 5, 0.9, 0.0)
    assert found.value.tolist() == [0.75]
    assert found.grade.tolist() == [4]


def test_a_value_whose_cut_form_would_not_move_the_grade_is_not_cut() -> None:
    # Of the places that are tried, 0.9 * (1 - (10 / 16)^2) = 0.5484 is the only one inside; 0.548 is outside.
    found = change(lambda v: 4 if 0.5481 <= v <= 0.5488 else 5, 0.9, 0.0)
    assert found.grade.tolist() == [4]
    assert 0.5481 <= found.value[0] <= 0.5488


def test_whole_numbers_only() -> None:
    found = change(lambda v: 4 if v >= 1.5 else 5, 0, 3, is_whole=True)
    assert found.value.tolist() == [2.0]
    assert np.isnan(change(lambda v: 4 if 1.2 < v < 1.8 else 5, 0, 3, is_whole=True).value[0])
    assert change(lambda v: 4 if v <= 1 else 5, 2, 0, is_whole=True).value.tolist() == [1.0]
    assert change(lambda v: 4 if v >= 1 else 5, 0, 0, is_whole=True, tries_start=True).grade.tolist() == [NO_GRADE]


def test_of_a_missing_value_the_typical_one_is_tried_first() -> None:
    found = change(lambda v: 4, 0.6, 0.0, tries_start=True)
    assert found.value.tolist() == [0.6]
    assert change(lambda v: 4 if v <= 0.3 else 5, 0.6, 0.0, tries_start=True).value.tolist() == [0.3]
    assert change(lambda v: 4, 2, 2, tries_start=True, is_whole=True).value.tolist() == [2.0]


def test_companies_are_searched_each_for_itself() -> None:
    limit = np.array([0.2, 0.7, 0.4, -1.0])

    def grade_at(rows: NDArray[np.intp], values: Floats) -> NDArray[np.int64]:
        return np.where(values <= limit[rows], 2, 3)

    found = smallest_change(np.full(4, 0.9), np.zeros(4), now=np.full(4, 3), grade_at=grade_at, is_monotone=True)
    assert found.value[:3].tolist() == [0.2, 0.7, 0.4]
    assert np.isnan(found.value[3])
    assert found.grade.tolist() == [2, 2, 2, NO_GRADE]


def test_changes_stay_between_the_value_and_its_best_end() -> None:
    rng = np.random.default_rng(0)
    start, end, limit = rng.normal(size=500), rng.normal(size=500), rng.normal(size=500)
    rising = end > start

    def grade_at(rows: NDArray[np.intp], values: Floats) -> NDArray[np.int64]:
        return np.where(np.where(rising[rows], values >= limit[rows], values <= limit[rows]), 1, 2)

    now = grade_at(np.arange(500), start)
    found = smallest_change(start, end, now=now, grade_at=grade_at, is_monotone=True)
    has = np.isfinite(found.value)
    assert has.sum() > 50
    low, high = np.minimum(start, end)[has], np.maximum(start, end)[has]
    assert ((found.value[has] >= low) & (found.value[has] <= high)).all()
    assert (grade_at(np.flatnonzero(has), found.value[has]) == found.grade[has]).all()
    assert (np.abs(found.value[has] - limit[has]) <= 0.011 * np.maximum(np.abs(limit[has]), 0.01) + 1e-3).all()
