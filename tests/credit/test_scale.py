"""The master scale's notches, bounds and names."""

import numpy as np
import pytest

from fedcredit.credit.scale import MASTER, from_pds
from fedcredit.errors import ConfigError
from fedcredit.models.card import SCALES


def test_scale_has_nineteen_notches_whose_bounds_are_geometric_means() -> None:
    assert len(MASTER.grades) == 19
    assert [grade.number for grade in MASTER.grades] == list(range(1, 20))
    assert pytest.approx(np.sqrt(MASTER.pds[:-1] * MASTER.pds[1:])) == MASTER.bounds
    assert (MASTER.grades[0].low, MASTER.grades[-1].high) == (0.0, 1.0)
    assert MASTER.name in SCALES


def test_every_notch_holds_its_own_pd() -> None:
    assert MASTER.place(MASTER.pds).tolist() == list(range(19))


def test_a_pd_on_a_bound_belongs_to_the_worse_grade() -> None:
    assert MASTER.place(MASTER.bounds).tolist() == list(range(1, 19))
    assert MASTER.place(np.nextafter(MASTER.bounds, 0)).tolist() == list(range(18))


def test_b_plus_to_a_is_eight_notches_and_the_way_back_is_negative() -> None:
    assert MASTER.notches("B+", "A") == 8
    assert MASTER.notches("A", "B+") == -8
    assert MASTER.notches("D", "C") == 1
    assert MASTER.grade("D").pd == 1.0


def test_a_certain_score_is_graded_and_never_reaches_d() -> None:
    assert MASTER.names([0.0, 1.0]).tolist() == ["AAA", "C"]


@pytest.mark.parametrize("pd", [[float("nan")], [-0.1], [1.1]])
def test_what_is_no_probability_has_no_grade(pd: list[float]) -> None:
    with pytest.raises(ConfigError, match="probabilities"):
        MASTER.place(pd)


def test_unknown_grade_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigError, match="AAA, AA\\+"):
        MASTER.notches("B+", "A++")


def test_scale_whose_pds_do_not_rise_is_refused() -> None:
    with pytest.raises(ConfigError, match="rise from 0 to 1"):
        from_pds("wrong", {"a": 0.02, "b": 0.01})
