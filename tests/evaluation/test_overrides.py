"""A changed grade: who may change it, how far, and whether it was right."""

from __future__ import annotations

import numpy as np
import pytest

from fedcredit.errors import PolicyRefused, TableError
from fedcredit.evaluation.overrides import Override, override_counts, overrides

PDS = [0.01, 0.02, 0.04, 0.08, 0.16]


def test_an_override_of_two_notches_by_two_people_with_a_reason_stands() -> None:
    assert Override(5, 3, "new-accounts", proposed_by="li", approved_by="wang").final_grade == 3


@pytest.mark.parametrize(
    ("grade", "reason", "people", "match"),
    [
        (2, "new-accounts", ("li", "wang"), "3 notches"),
        (5, "new-accounts", ("li", "wang"), "0 notches"),
        (4, "a-feeling", ("li", "wang"), "unknown code"),
        (4, "litigation", ("li", " Li"), "one person"),
        (4, "litigation", ("li", ""), "one person"),
    ],
)
def test_other_overrides_are_refused(grade: int, reason: str, people: tuple[str, str], match: str) -> None:
    with pytest.raises(PolicyRefused, match=match):
        Override(5, grade, reason, proposed_by=people[0], approved_by=people[1])


def test_overrides_that_know_more_come_closer() -> None:
    rng = np.random.default_rng(0)
    model = np.full(6_000, 2)
    true = np.repeat([0, 2, 4], 2_000)
    y = rng.random(6_000) < np.array(PDS)[true]
    found = overrides(override_counts(model, true, y, grades=5), PDS)
    assert found.rate.point == pytest.approx(2 / 3)
    assert found.better is not None
    assert found.worse is not None
    assert found.better.was_right
    assert found.worse.was_right
    assert found.better.final_observed_expected.low < 1 < found.better.final_observed_expected.high
    assert found.better.model_observed_expected.high < 1 < found.worse.model_observed_expected.low


def test_overrides_that_please_are_seen_in_their_defaults() -> None:
    rng = np.random.default_rng(0)
    y = rng.random(2_000) < 0.08
    found = overrides(override_counts(np.full(2_000, 3), np.full(2_000, 1), y, grades=5), PDS)
    assert found.better is not None
    assert not found.better.was_right
    assert found.better.final_observed_expected.low > 2
    assert found.worse is None
    assert found.unchanged is None


def test_nobody_has_no_rate() -> None:
    nobody = overrides(np.zeros((2, 5, 5), np.int64), PDS)
    assert nobody.companies == 0
    assert np.isnan(nobody.rate.point)


def test_counts_that_do_not_fit_are_refused() -> None:
    for model, final, y in [([0], [3], [0]), ([0, 1], [0], [0]), ([4], [5], [0]), ([0], [-1], [0])]:
        with pytest.raises(TableError):
            override_counts(model, final, y, grades=5)
    with pytest.raises(TableError):
        overrides(np.zeros((2, 4, 5)), PDS)
