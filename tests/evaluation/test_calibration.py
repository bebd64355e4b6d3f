"""Prior shift, and the rates that it may know."""

from __future__ import annotations

import numpy as np
import pytest

from fedcredit.errors import ConfigError
from fedcredit.evaluation.calibration import Prevalence, prior_shift
from fedcredit.evaluation.metrics import ece


def test_prior_shift_is_bayes_theorem_with_the_other_prior() -> None:
    # Likelihood ratio 3. At a prior of 1/2 the posterior is 3/4; at 1/10 it is (3 * .1) / (3 * .1 + .9) = 1/4.
    assert prior_shift(0.75, from_rate=0.5, to_rate=0.1) == pytest.approx(0.25)


def test_prior_shift_there_and_back_changes_nothing() -> None:
    p = np.linspace(0.01, 0.99, 9)
    there = prior_shift(p, from_rate=0.13, to_rate=0.03)
    assert prior_shift(there, from_rate=0.03, to_rate=0.13) == pytest.approx(p)
    assert np.all(np.diff(there) > 0)


def test_prior_shift_mends_the_calibration_of_a_resampled_training_set() -> None:
    rng = np.random.default_rng(0)
    y = rng.random(100_000) < 0.03
    x = rng.normal(size=100_000) + y
    learnt_at_half = 1 / (1 + np.exp(-(x - 0.5)))  # the log-likelihood ratio of two unit normals one apart
    assert ece(y, learnt_at_half) > 0.2
    assert ece(y, prior_shift(learnt_at_half, from_rate=0.5, to_rate=0.03)) < 0.004


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_that_is_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="to_rate"):
        prior_shift([0.5], from_rate=0.5, to_rate=rate)


def test_an_unknown_or_empty_institution_takes_the_rate_of_all() -> None:
    known = Prevalence(train={"all": 0.5}, target={"all": 0.1, "A": 0.0})
    assert known.calibrate([0.75], trained_on="A", scored_on="A") == pytest.approx([0.25])


def test_nothing_is_shifted_when_a_rate_is_not_known() -> None:
    assert Prevalence(train={"all": 0.5}).calibrate([0.75], trained_on="all", scored_on="all").tolist() == [0.75]
