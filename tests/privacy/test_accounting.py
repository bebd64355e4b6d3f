"""Epsilon is composed over every step since the first round, and agrees with an independent accountant."""

from __future__ import annotations

import math

import pytest

from fedcredit.errors import ConfigError
from fedcredit.privacy.accounting import Step, delta_for, epsilon_spent, solve_noise


def pld_epsilon(history: list[Step], *, delta: float) -> float:
    """The same by Google's dp-accounting, from privacy loss distributions instead of PRVs."""
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(value_discretization_interval=1e-3)
    for step in history:
        noisy = dp_accounting.GaussianDpEvent(step.noise_multiplier)
        accountant.compose(dp_accounting.PoissonSampledDpEvent(step.sample_rate, noisy), step.steps)
    return float(accountant.get_epsilon(delta))


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
    ours, theirs = epsilon_spent(history, delta=1e-5), pld_epsilon(history, delta=1e-5)
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


def test_an_accountant_that_continues_across_rounds_gives_the_one_shot_figure() -> None:
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
