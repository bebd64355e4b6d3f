"""Epsilon is composed over every step since the first round, and agrees with an independent accountant."""

from __future__ import annotations

import math

import pytest

from fedcredit.errors import ConfigError, PolicyRefused
from fedcredit.privacy.accounting import (
    AccountantsDisagree,
    Step,
    agreed,
    check_accountant,
    delta_for,
    epsilon_spent,
    solve_noise,
)
from fedcredit.privacy.mechanism import Mechanism, joint_epsilon
from fedcredit.privacy.pld import Query, pld_epsilon


def other_epsilon(history: list[Step], *, delta: float) -> float:
    """The same by Google's dp-accounting, from privacy loss distributions instead of PRVs."""
    return pld_epsilon((Query("gaussian", s.noise_multiplier, s.sample_rate, s.steps) for s in history), delta=delta)


@pytest.mark.parametrize(
    "history",
    [
        [Step(7.72, 0.5, 120)],
        [Step(15.25, 1.0, 120)],
        [Step(1.2, 0.1, 30)],
        [Step(2.0, 0.2, 10), Step(1.0, 0.05, 40), Step(4.0, 1.0, 1)],
    ],
)
def test_epsilon_agrees_with_an_independent_accountant(history: list[Step]) -> None:
    ours, theirs = epsilon_spent(history, delta=1e-5), other_epsilon(history, delta=1e-5)
    assert ours == pytest.approx(theirs, rel=0.01, abs=0.005)


@pytest.mark.parametrize(("epsilon", "rate", "steps"), [(3.0, 0.5, 20), (1.0, 0.2, 50), (8.0, 1.0, 10), (0.1, 1.0, 60)])
def test_solved_noise_spends_the_epsilon_and_not_more(epsilon: float, rate: float, steps: int) -> None:
    sigma = solve_noise(epsilon, delta=1e-5, sample_rate=rate, steps=steps)
    spent = epsilon_spent([Step(sigma, rate, steps)], delta=1e-5)
    assert epsilon - 0.002 <= spent <= epsilon


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Optimal order is the:UserWarning")  # Opacus's remark on the size of its own grid
def test_solved_noise_is_that_of_opacus() -> None:
    from opacus.accountants.utils import get_noise_multiplier

    opacus = get_noise_multiplier(
        target_epsilon=3.0, target_delta=1e-5, sample_rate=0.1, steps=30, accountant="prv", eps_error=0.001
    )
    assert solve_noise(3.0, delta=1e-5, sample_rate=0.1, steps=30) == pytest.approx(opacus, rel=0.01)


def test_accountants_that_agree_charge_the_prv_figure() -> None:
    assert (agreed(3.0, 2.971), agreed(0.2, 0.204), agreed(0.0, 0.0)) == (3.0, 0.2, 0.0)


@pytest.mark.parametrize(("prv", "pld"), [(3.0, 3.04), (3.04, 3.0), (0.1, 0.106), (1.0, math.inf)])
def test_where_two_accountants_disagree_the_larger_is_charged_and_a_warning_says_so(prv: float, pld: float) -> None:
    with pytest.warns(AccountantsDisagree, match="the larger is charged"):
        assert agreed(prv, pld) == max(prv, pld)


def test_gdp_accountant_is_refused() -> None:
    with pytest.raises(PolicyRefused, match=r"privacy\.accountant: found gdp, expected prv or pld"):
        check_accountant("gdp")
    with pytest.raises(ConfigError):
        check_accountant("moments")
    check_accountant("prv")


@pytest.mark.filterwarnings("ignore:GDP accounting is experimental:UserWarning")  # Opacus's own word of caution
def test_the_gdp_accountant_would_have_reported_a_tenth_less() -> None:
    from opacus.accountants import GaussianAccountant

    gdp = GaussianAccountant()
    gdp.history = [(1.0, 256 / 20_000, 1562)]
    ours = joint_epsilon([Mechanism.of_step(Step(1.0, 256 / 20_000, 1562))], delta=1e-5)
    assert gdp.get_epsilon(delta=1e-5) < 0.92 * ours


def test_fixed_batches_with_subsampled_accounting_are_refused() -> None:
    with pytest.raises(PolicyRefused, match=r"fixed batches with a sample rate of 0\.1"):
        Step(1.0, 0.1, 10, sampling="fixed")
    with pytest.raises(PolicyRefused, match="without Poisson sampling"):
        Mechanism("training", 1.0, sampling="none", sample_rate=0.1)
    with pytest.raises(ConfigError, match="sampling"):
        Step(1.0, 0.1, 10, sampling="shuffled")  # type: ignore[arg-type]


def test_fixed_batches_are_accounted_at_full_rate() -> None:
    fixed = Mechanism.of_step(Step(8.0, 1.0, 10, sampling="fixed"))
    # Ten Gaussian queries in full are one of noise 8 / sqrt(10); Poisson sampling at 1/10 would have spent a ninth.
    assert joint_epsilon([fixed], delta=1e-5) == pytest.approx(
        joint_epsilon([Mechanism("training", 8.0 / math.sqrt(10))], delta=1e-5), rel=1e-3
    )
    assert joint_epsilon([Mechanism.of_step(Step(8.0, 0.1, 10))], delta=1e-5) < joint_epsilon([fixed], delta=1e-5) / 5


def test_mechanisms_of_different_kinds_compose() -> None:
    training = Mechanism("training", 4.0, sampling="poisson", sample_rate=0.2, count=100)
    binning = Mechanism("binning", 10.0, noise="laplace", count=2)  # epsilon 2/10 by itself, whatever the delta
    metrics = Mechanism("metrics", 30.0, count=12)
    alone = [joint_epsilon([one], delta=1e-5) for one in (training, binning, metrics)]
    assert alone[1] == pytest.approx(0.2, abs=0.002)
    together = joint_epsilon([training, binning, metrics], delta=1e-5)
    assert max(alone) < together < sum(alone)
    assert together == joint_epsilon([metrics, training, binning], delta=1e-5)


def test_a_mechanism_survives_json_and_a_wrong_one_is_refused() -> None:
    mechanism = Mechanism("metrics", 0.1 + 0.2, noise="laplace", count=3)
    assert Mechanism.from_json(mechanism.to_json()) == mechanism
    with pytest.raises(ConfigError, match="kind"):
        Mechanism.from_json(mechanism.to_json().replace("metrics", "nothing"))
    for wrong in ({"noise_scale": -1.0}, {"noise_scale": math.nan}, {"count": 0}, {"sample_rate": 0.0}):
        with pytest.raises(ConfigError):
            Mechanism("metrics", **{"noise_scale": 1.0, **wrong})  # type: ignore[arg-type]


def test_a_query_without_noise_spends_everything() -> None:
    assert joint_epsilon([Mechanism("metrics", 0.0)], delta=1e-5) == math.inf


def test_the_accountant_is_not_restarted_in_each_round() -> None:
    rounds = [Step(2.0, 0.5, 3) for _ in range(20)]
    one_shot = epsilon_spent([Step(2.0, 0.5, 60)], delta=1e-5)
    assert epsilon_spent(rounds, delta=1e-5) == one_shot
    # An accountant that is made anew each round prints the first round's figure for all of them.
    assert epsilon_spent(rounds[:1], delta=1e-5) < one_shot / 3


def test_every_further_step_spends_more() -> None:
    spent = [epsilon_spent([Step(2.0, 0.5, n)], delta=1e-5) for n in (1, 5, 25)]
    assert spent[0] < spent[1] < spent[2]


def test_the_order_of_steps_does_not_matter() -> None:
    a, b = Step(2.0, 0.2, 5), Step(1.5, 0.5, 3)
    assert epsilon_spent([a, b, a], delta=1e-5) == epsilon_spent([b, a, a], delta=1e-5)


def test_a_step_without_noise_spends_everything_and_no_step_spends_nothing() -> None:
    assert epsilon_spent([Step(2.0, 0.5, 5), Step(0.0, 0.5)], delta=1e-5) == math.inf
    assert epsilon_spent([], delta=1e-5) == 0.0


def test_delta_is_at_most_a_tenth_of_one_over_n() -> None:
    assert delta_for(490) == 1e-5
    assert delta_for(50_000) == pytest.approx(2e-6)
    with pytest.raises(ConfigError):
        delta_for(0)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.nan, math.inf])
def test_an_epsilon_that_is_not_above_zero_is_refused(epsilon: float) -> None:
    with pytest.raises(ConfigError, match=r"privacy\.epsilon"):
        solve_noise(epsilon, delta=1e-5, sample_rate=0.5, steps=10)


@pytest.mark.parametrize(
    "wrong", [(-1.0, 0.5, 1), (math.nan, 0.5, 1), (1.0, 0.0, 1), (1.0, 1.5, 1), (1.0, 0.5, 0), (1.0, 0.5, 1.5)]
)
def test_an_impossible_step_is_refused(wrong: tuple[float, float, int]) -> None:
    with pytest.raises(ConfigError):
        Step(*wrong)


@pytest.mark.parametrize("delta", [0.0, 1.0, math.nan])
def test_a_delta_outside_zero_to_one_is_refused(delta: float) -> None:
    with pytest.raises(ConfigError, match=r"privacy\.delta"):
        epsilon_spent([Step(1.0, 0.5)], delta=delta)
