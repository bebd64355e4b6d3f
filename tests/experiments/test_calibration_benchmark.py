"""The calibration benchmark fixes its steps without the test split's outcomes."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.benchmarks.calibration import calendar_rate, fixed, judged, known_rate, measured
from experiments.benchmarks.scored import Scored


def made(*, n: int = 3000, test_rate_shift: float = 0.0) -> Scored:
    """Scores whose truth is their own log-odds; in the test split everybody's log-odds are lower by the shift."""
    rng = np.random.default_rng(0)
    z, test_z = rng.normal(-2, 1.2, n), rng.normal(-2, 1.2, n) - test_rate_shift
    y, test_y = (rng.random(n) < 1 / (1 + np.exp(-one)) for one in (z, test_z))
    p, test_p = (1 / (1 + np.exp(-one)) for one in (z, test_z))
    names = np.array([str(k) for k in range(n)])
    return Scored(names, p, y.astype(np.int64), test_p, test_y.astype(np.int64), 2 * n, float(y.mean()))


@pytest.mark.parametrize("is_same_population", [True, False])
def test_steps_are_the_same_whatever_the_test_outcomes_are(is_same_population: bool) -> None:
    found = made()
    turned = replace(found, test_outcomes=1 - found.test_outcomes)
    assert fixed(found, is_same_population=is_same_population) == fixed(turned, is_same_population=is_same_population)


def test_calibrated_scores_pass_and_uncalibrated_of_another_rate_do_not() -> None:
    found = made()
    told = measured(found, is_same_population=True)
    test = told["test"]
    assert told["method"] == "temperature"
    assert test["ece"] < 0.02
    assert test["oe_low"] < 1 < test["oe_high"]
    assert test["grade_test_pass"]
    assert test["auc_change"] == 0
    halved = told["at_other_rates"]["0.5"]
    assert halved["oe_low"] > 1
    assert not halved["grade_test_pass"]
    wrong = judged(replace(found, test_p=found.test_p**2), [])
    assert not wrong["grade_test_pass"]


def test_rates_by_hand() -> None:
    found = made()
    assert calendar_rate(found) == pytest.approx(found.y.sum() / 3 * 4 / 3000)
    assert known_rate(found) == pytest.approx(found.y.mean())
