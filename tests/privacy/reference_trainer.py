"""A small DP-SGD, company by company, into which any of ten faults can be planted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedcredit.models.train import LocalSettings


@dataclass(frozen=True)
class Reference:
    """DP-SGD with a step of size lr (Abadi et al. 2016), sound where `fault` is empty."""

    fault: str = ""

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
        """Train in place; the loss is not computed."""
        names = np.arange(len(y)).astype(str) if self.fault == "per-row unit" else company
        _, unit = np.unique(names, return_inverse=True)
        n = int(unit.max()) + 1
        coins = np.random.default_rng(0 if self.fault == "seeded sampling" else None)
        expected = sample_rate * n
        for _ in range(steps):
            drawn = self._drawn(n, sample_rate, coins)
            if self.fault == "empty step missing" and not len(drawn):
                continue
            gradients = [self._gradient(model, x, y, rows=np.flatnonzero(unit == one)) for one in drawn]
            total = self._sum(gradients, clip, size=sum(p.numel() for p in model.parameters()))
            total = total + noise_multiplier * clip * self._noise(len(total))
            divisor = max(len(drawn), 1) if self.fault == "actual-batch divisor" else expected
            self._move(model, -settings.lr * total / divisor)
        return float("nan")

    def _drawn(self, n: int, rate: float, coins: np.random.Generator) -> NDArray[np.intp]:
        if self.fault == "fixed batches":
            return coins.permutation(n)[: round(rate * n)]
        return np.flatnonzero(coins.random(n) < rate)

    def _gradient(self, model: nn.Module, x: Tensor, y: Tensor, *, rows: NDArray[np.intp]) -> Tensor:
        row = int(np.random.default_rng().choice(rows))
        model.zero_grad()
        torch.autograd.backward(
            nn.functional.binary_cross_entropy_with_logits(model(x[row : row + 1]), y[row : row + 1])
        )
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    def _sum(self, gradients: list[Tensor], clip: float, *, size: int) -> Tensor:
        zero = torch.zeros(size)
        if self.fault == "clipping after the sum":
            return _clipped(sum(gradients, zero), clip)
        most = 2 * clip if self.fault == "clip too large" else clip
        return sum((_clipped(gradient, most) for gradient in gradients), zero)

    def _noise(self, size: int) -> Tensor:
        if self.fault == "noise off":
            return torch.zeros(size)
        seed = 0 if self.fault == "noise reused" else None
        if self.fault == "noise from the study's seed":
            return torch.randn(size)
        return torch.from_numpy(np.random.default_rng(seed).normal(size=size).astype(np.float32))

    @staticmethod
    def _move(model: nn.Module, by: Tensor) -> None:
        with torch.no_grad():
            for parameter, part in zip(
                model.parameters(), torch.split(by, [p.numel() for p in model.parameters()]), strict=True
            ):
                parameter.add_(part.reshape(parameter.shape))


def _clipped(gradient: Tensor, most: float) -> Tensor:
    return gradient * min(1.0, most / max(float(gradient.norm()), 1e-12))
