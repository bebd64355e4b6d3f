"""A lifetime's epsilon becomes the epsilon of each retrain, so that all of them together spend it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clients.reserve import reserved_rounds
from fedcredit.privacy.accounting import Step, epsilon_spent, solve_noise

MARGIN = 0.01  # of epsilon: the ledger composes by another accountant, which rounds upwards


@dataclass(frozen=True)
class Budget:
    """What a company may spend in its lifetime at its institution, and on what.

    first_rounds: of a training from a fresh model; later_rounds: of one that starts from the model before it.
    """

    lifetime: float = 8.0
    retrains: int = 12
    first_rounds: int = 80
    later_rounds: int = 8
    sample_rate: float = 1.0
    clip: float = 3.0
    eta: float = 0.05
    noise: Literal["local", "distributed"] = "distributed"

    @property
    def rounds(self) -> tuple[int, ...]:
        """Rounds of each retrain."""
        return (self.first_rounds, *[self.later_rounds] * (self.retrains - 1))


def epsilons(budget: Budget, *, delta: float) -> tuple[float, ...]:
    """Epsilon of each retrain: all have the same noise, and together, reserves included, they spend the lifetime's.

    Epsilons do not add up: twelve equal retrains have about a third of the lifetime's epsilon each.

    >>> each = epsilons(Budget(first_rounds=9, later_rounds=9), delta=1e-5)
    >>> [round(epsilon, 1) for epsilon in each[:2]]
    [1.9, 1.9]
    """
    steps = [rounds + reserved_rounds(rounds) for rounds in budget.rounds]
    noise = solve_noise(budget.lifetime - MARGIN, delta=delta, sample_rate=budget.sample_rate, steps=sum(steps))
    return tuple(epsilon_spent([Step(noise, budget.sample_rate, one)], delta=delta) for one in steps)
