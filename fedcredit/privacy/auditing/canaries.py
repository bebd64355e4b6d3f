"""Companies that never were, planted by a fair coin into a real training, into bounds on what it spent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fedcredit.privacy.auditing.engine import FitPrivate, Plan, train_rounds
from fedcredit.privacy.auditing.one_run import CONFIDENCE, Bound, bound_epsilon

# A canary's input on its own weight: its gradient on every other weight is about a thousandth of that on its own.
SCALE = 1000.0


@dataclass(frozen=True)
class Rows:
    """x (n, time, features), y (n,) of 0. or 1., company (n,)."""

    x: Tensor
    y: Tensor
    company: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class CanaryAudit:
    """white_box: the platform chooses the model and reads every update. black_box: it sees the final model alone."""

    white_box: Bound
    black_box: Bound | None


class Canaried(nn.Module):
    """A model with one further weight for each canary, which no real company's row touches.

    The platform may send any model, so it may send this one. A canary's gradient is then orthogonal to every other
    canary's and to every real company's, of the full clip: the strongest that the engine lets through.
    """

    def __init__(self, main: nn.Module, *, features: int, width: int) -> None:
        super().__init__()
        self.main = main
        self.features = features
        self.side = nn.Linear(width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n,) of windows x (n, time, features + canary columns)."""
        logits: Tensor = self.main(x[..., : self.features])
        own: Tensor = self.side(x[..., self.features :].flatten(1))
        return logits + own.squeeze(-1)


def audit_with_canaries(
    engine: FitPrivate,
    model: nn.Module,
    rows: Rows,
    *,
    plan: Plan,
    delta: float,
    canaries: int,
    odd: Rows | None,
    rng: np.random.Generator,
    confidence: float = CONFIDENCE,
    on_round: Callable[[], None] = lambda: None,
) -> CanaryAudit:
    """Bounds from one training of `model` (changed in place) on `rows`, `canaries` and rows of `odd`, by coins of rng.

    canaries: how many gradient canaries, one of the model's further weights each; scored by how far all updates
    together move that weight. odd: rows of companies that are not in `rows`; they are planted with the wrong label and
    scored by the final model's loss. Where there are both bounds, they hold together with `confidence`.
    """
    time, features = rows.x.shape[1:]
    per_period = -(-canaries // time)
    coins = rng.random(canaries) < 0.5
    odd_coins = rng.random(len(odd) if odd else 0) < 0.5
    planted = _join(rows, odd, odd_coins, chosen=np.flatnonzero(coins), per_period=per_period)
    whole = Canaried(model, features=features, width=per_period * time)
    start = -1.0 - 2.0 * _reach(plan, companies=len(np.unique(planted.company)))
    scores = np.zeros(canaries)

    def reset() -> None:
        # Far on the wrong side of every canary's label, so that its gradient is at full size whatever the noise did.
        nn.init.constant_(whole.side.weight, start)

    def score() -> None:
        nonlocal scores
        scores = scores + whole.side.weight.detach().double().numpy()[0, :canaries] - start
        on_round()

    train_rounds(engine, whole, planted.x, planted.y, company=planted.company, plan=plan, before=reset, after=score)
    has_odd = odd is not None and len(odd) > 1
    sure = 1.0 - (1.0 - confidence) / (2 if has_odd else 1)
    white = bound_epsilon(scores, coins, delta=delta, is_gaussian=plan.is_gaussian, confidence=sure)
    if odd is None or not has_odd:
        return CanaryAudit(white, None)
    with torch.no_grad():
        loss = binary_cross_entropy_with_logits(model.eval()(odd.x), 1.0 - odd.y, reduction="none")
    black = bound_epsilon(
        -loss.double().numpy(), odd_coins, delta=delta, is_gaussian=plan.is_gaussian, confidence=confidence
    )
    return CanaryAudit(white, black)


def _join(
    rows: Rows, odd: Rows | None, odd_coins: NDArray[np.bool_], *, chosen: NDArray[np.intp], per_period: int
) -> Rows:
    """The real rows, those of `odd` that the coins chose under the wrong label, and a row for each chosen canary."""
    time, features = rows.x.shape[1:]
    parts, labels, names = [rows.x], [rows.y], [np.char.add("real ", rows.company)]
    if odd is not None:
        picked = torch.from_numpy(odd_coins)
        parts.append(odd.x[picked])
        labels.append(1.0 - odd.y[picked])
        names.append(np.char.add("odd ", odd.company[odd_coins]))
    real = torch.cat(parts)
    x = torch.zeros(len(real) + len(chosen), time, features + per_period)
    x[: len(real), :, :features] = real
    x[len(real) + torch.arange(len(chosen)), chosen // per_period, features + chosen % per_period] = SCALE
    labels.append(torch.ones(len(chosen)))
    names.append(np.array([f"canary {number}" for number in chosen], dtype=np.str_))
    return Rows(x, torch.cat(labels), np.concatenate(names))


def _reach(plan: Plan, *, companies: int) -> float:
    """How far a round may move one weight, six standard deviations of noise included."""
    per_step = plan.clip * (1.0 + 6.0 * plan.noise_multiplier) / (plan.sample_rate * companies)
    if plan.settings.optimizer != "sgd":
        per_step = 10.0  # Adam's steps are of size lr whatever the gradient
    return plan.settings.lr * plan.steps * per_step / (1.0 - plan.settings.momentum)
