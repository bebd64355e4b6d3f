"""Whom a guarantee is about: a company here, a company at several institutions, an institution as a whole."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedcredit.errors import ConfigError, TableError
from fedcredit.privacy.accounting import epsilon_spent
from fedcredit.privacy.mechanism import Mechanism, joint_epsilon
from fedcredit.privacy.units import clip_and_noise, epsilon_across, institution_step, weights

TRAINING = [Mechanism("training", 6.0, sampling="poisson", sample_rate=0.3, count=60)]


def test_a_company_known_to_m_institutions_moves_all_of_them_together_by_one_clip() -> None:
    known_to = np.array([1, 2, 3, 5])
    assert (weights(known_to) * known_to).tolist() == [1.0, 1.0, 1.0, 1.0]
    assert weights(np.array([], dtype=int)).tolist() == []


@pytest.mark.parametrize("wrong", [[0], [1, -2], [1.5], ["2"]])
def test_a_multiplicity_that_is_no_count_is_refused(wrong: list[object]) -> None:
    with pytest.raises(TableError, match="multiplicity"):
        weights(wrong)


def test_across_institutions_copies_compose_to_less_than_their_sum() -> None:
    one = joint_epsilon(TRAINING, delta=1e-5)
    three = epsilon_across(TRAINING, institutions=3, delta=1e-5)
    assert math.sqrt(2) * one < three < 3 * one
    assert epsilon_across(TRAINING, institutions=1, delta=1e-5) == one


def test_with_weights_a_company_at_many_institutions_spends_no_more_than_at_one() -> None:
    weighted = epsilon_across(TRAINING, institutions=5, delta=1e-5, unit="company-across-institutions")
    assert weighted == joint_epsilon(TRAINING, delta=1e-5)


def test_a_number_of_institutions_below_one_is_refused() -> None:
    with pytest.raises(ConfigError):
        epsilon_across(TRAINING, institutions=0, delta=1e-5)


def test_an_institution_as_the_unit_costs_what_the_reference_table_says() -> None:
    # 50 rounds, every institution in each: noise 2, 5, 10, 20 spend 20.7, 6.6, 2.95, 1.37 at delta 1e-5.
    for noise, epsilon in ((5.0, 6.6), (10.0, 2.95), (20.0, 1.37)):
        assert epsilon_spent([institution_step(noise, rounds=50)], delta=1e-5) == pytest.approx(epsilon, abs=0.06)


def test_an_institutions_update_is_clipped_as_a_whole() -> None:
    update = {"weight": np.array([[3.0, 0.0]], np.float32), "bias": np.array([4.0], np.float32)}  # norm 5
    clipped = clip_and_noise(update, clip=1.0, noise_multiplier=0.0)
    assert clipped["weight"].tolist() == [[pytest.approx(0.6), 0.0]]
    assert clipped["bias"].tolist() == [pytest.approx(0.8)]
    assert {name: values.dtype for name, values in clipped.items()} == dict.fromkeys(update, np.dtype(np.float32))
    short = clip_and_noise(update, clip=10.0, noise_multiplier=0.0)
    assert short["bias"].tolist() == [4.0]


def test_the_noise_on_an_update_has_the_spread_that_is_charged() -> None:
    noise = clip_and_noise({"w": np.zeros(40_000)}, clip=0.5, noise_multiplier=4.0)["w"]
    # The spread of 40,000 normals is known to 1/283; seven such errors are a false alarm in 4e11.
    assert noise.std() == pytest.approx(2.0, rel=7 / math.sqrt(2 * 40_000))
    again = clip_and_noise({"w": np.zeros(40_000)}, clip=0.5, noise_multiplier=4.0)["w"]
    assert not np.array_equal(noise, again)


def test_a_number_that_is_not_finite_does_not_show_through_the_noise() -> None:
    hostile = {"w": np.array([np.nan, np.inf, -np.inf, 0.5])}
    assert clip_and_noise(hostile, clip=1.0, noise_multiplier=0.0)["w"].tolist() == [0.0, 0.0, 0.0, 0.5]


@pytest.mark.parametrize("clip", [0.0, -1.0, math.nan, math.inf])
def test_a_clip_that_bounds_nothing_is_refused(clip: float) -> None:
    with pytest.raises(ConfigError, match=r"privacy\.clip"):
        clip_and_noise({"w": np.zeros(1)}, clip=clip, noise_multiplier=1.0)
