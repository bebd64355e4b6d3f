"""Private training as the auditor sees it: a callable of the shape of `fit_private`, and the plan that it follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from fedcredit.models.train import LocalSettings
from fedcredit.privacy.accounting import Step


class FitPrivate(Protocol):
    """Whatever trains as `dpsgd.fit_private` does: in place, with the company as the unit."""

    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        company: NDArray[np.str_],
        settings: LocalSettings,
        noise_multiplier: float,
        clip: float,
        sample_rate: float,
        steps: int,
    ) -> float:
        """Mean training loss after `steps` noisy steps."""
        ...


@dataclass(frozen=True)
class Plan:
    """What one institution does in a run: `rounds` times `steps` noisy steps at these settings."""

    settings: LocalSettings
    noise_multiplier: float
    clip: float
    sample_rate: float
    steps: int
    rounds: int

    @property
    def history(self) -> list[Step]:
        """The whole plan as the accountant takes it."""
        return [Step(self.noise_multiplier, self.sample_rate, self.steps * self.rounds)]

    @property
    def is_gaussian(self) -> bool:
        """Whether all of it is one Gaussian mechanism: every company is in every batch."""
        return self.sample_rate == 1.0


def train_rounds(
    engine: FitPrivate,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    company: NDArray[np.str_],
    plan: Plan,
    before: Callable[[], None] = lambda: None,
    after: Callable[[], None] = lambda: None,
) -> None:
    """Every round of the plan, in place: the platform hands back each update as it came."""
    for _ in range(plan.rounds):
        before()
        engine(
            model,
            x,
            y,
            company=company,
            settings=plan.settings,
            noise_multiplier=plan.noise_multiplier,
            clip=plan.clip,
            sample_rate=plan.sample_rate,
            steps=plan.steps,
        )
        after()
