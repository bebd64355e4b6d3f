"""Layers without parameters, forth and back: they pass gradients on and have none of their own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fedcredit.privacy.randomness import Stream


class Bare:
    """A layer without parameters has no gradient of its own."""

    parameters: Sequence[Tensor] = ()

    def squared(self, *, apart: bool) -> list[Tensor]:
        return []

    def clipped(self, factors: Sequence[Tensor], *, out: Sequence[Tensor]) -> None:
        return None

    def forget(self, rows: Tensor) -> None:
        return None


class Flatten(Bare):
    """Windows (n, time, features) into (n, time * features)."""

    def forward(self, x: Tensor) -> Tensor:
        self.shape = x.shape
        return x.flatten(1)

    def backward(self, grad: Tensor, *, further: bool) -> Tensor:
        return grad.reshape(self.shape)


class ReLU(Bare):
    """What is below 0 becomes 0."""

    def forward(self, x: Tensor) -> Tensor:
        self.out = x.relu()
        return self.out

    def backward(self, grad: Tensor, *, further: bool) -> Tensor:
        return torch.ops.aten.threshold_backward(grad, self.out, 0)


class Tanh(Bare):
    """Hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        self.out = x.tanh()
        return self.out

    def backward(self, grad: Tensor, *, further: bool) -> Tensor:
        return torch.ops.aten.tanh_backward(grad, self.out)


class Dropout(Bare):
    """Each unit is left out with chance p and grows by 1 / (1 - p) otherwise; the coins are of the same stream."""

    def __init__(self, p: float, *, random: Stream) -> None:
        self.p, self.random = p, random

    def forward(self, x: Tensor) -> Tensor:
        keep = torch.from_numpy(self.random.chosen(x.numel(), chance=1.0 - self.p)).reshape(x.shape)
        self.scale = keep.to(x.dtype).div_(1.0 - self.p)
        return x * self.scale

    def backward(self, grad: Tensor, *, further: bool) -> Tensor:
        return grad * self.scale
