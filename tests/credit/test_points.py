"""Points of a PD."""

import numpy as np
import pytest

from fedcredit.credit.points import Points
from fedcredit.errors import ConfigError


def test_twenty_points_double_the_odds() -> None:
    odds = np.array([12.5, 25, 50, 100, 200])
    assert Points().of(1 / (1 + odds)) == pytest.approx([560, 580, 600, 620, 640])


def test_points_and_pd_are_each_others_inverse() -> None:
    pd = np.array([0.0003, 0.02, 0.5, 0.99])
    other = Points(per_doubling=50, base=500, odds=15)
    assert other.pd(other.of(pd)) == pytest.approx(pd)


@pytest.mark.parametrize("more", [{"per_doubling": 0.0}, {"odds": -1.0}, {"base": float("inf")}])
def test_points_without_a_scale_are_refused(more: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="points"):
        Points(**more)
