"""Layers that remember, as they pass a batch forth and back, what each company's clipped gradient is made of.

A layer's gradient for one company is a sum over periods of outer products d_t z_t', of the gradient d of its output
and its input z. Its norm follows from two small matrices of inner products, |sum_t d_t z_t'|^2 = sum_ts (d_t.d_s)
(z_t.z_s), and the sum over companies, each times its own factor, is one matrix product: nobody's gradient is ever built
(Goodfellow 2015; Li, Tramer, Liang, Hashimoto 2022; Bu, Wang, Zha, Karypis 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

# Inner products in float32 can cancel: what is left of a norm is then rounding. Below this share of the square of the
# largest norm that the terms could have, a company's norm is worked out anew in float64.
CANCELLED = 2.0**-7
# The clipped sum itself is of float32. This share of that square is added to every norm, so that rounding, too, stays
# within a thousandth of the clip, whatever the weights.
SLACK = 2.0**-26


class Tap(Protocol):
    """A layer in a chain, with the batch (n companies) that it saw last.

    Norms and factors are one (n,) tensor a parameter, or a single one for all parameters together.
    """

    @property
    def parameters(self) -> Sequence[Tensor]:
        """The layer's own parameters, which it trains."""

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output."""

    def backward(self, grad: Tensor, *, further: bool) -> Tensor:
        """The gradient of the input from that of the output; not worked out, and meaningless, unless `further`."""

    def squared(self, *, apart: bool) -> list[Tensor]:
        """Squared norms (n,) of each company's gradient: one a parameter if `apart`, else one in all."""

    def clipped(self, factors: Sequence[Tensor], *, out: Sequence[Tensor]) -> None:
        """Write into `out`, a tensor a parameter, the sum over companies of factor times gradient."""

    def forget(self, rows: Tensor) -> None:
        """Make the contribution of companies, a boolean (n,), zero: their gradient is not a number."""


class Linear:
    """nn.Linear on rows (n, inputs) or on periods (n, time, inputs)."""

    def __init__(self, layer: nn.Linear) -> None:
        self.weight, self.bias = layer.weight, layer.bias
        self.parameters: list[Tensor] = [self.weight] if layer.bias is None else [self.weight, self.bias]

    def forward(self, x: Tensor) -> Tensor:
        self.z = x
        return torch.nn.functional.linear(x, self.weight, self.bias)

    def backward(self, grad: Tensor, *, further: bool) -> Tensor:
        self.d = grad
        return grad @ self.weight if further else grad

    def squared(self, *, apart: bool) -> list[Tensor]:
        if self.z.dim() == 2:
            d = self.d.square().sum(1)
            z = self.z.square().sum(1)
            if not apart and self.bias is not None:
                return [torch.addcmul(d, d, z)]
            return [d * z, d][: len(self.parameters)]
        norms = [outer_squared(self.z, self.d)]
        if self.bias is not None:
            norms.append(self.d.sum(1).square().sum(1))
        return norms if apart else [sum(norms[1:], norms[0])]

    def clipped(self, factors: Sequence[Tensor], *, out: Sequence[Tensor]) -> None:
        d, z = self.d, self.z
        if z.dim() == 3:
            factors = [factor.repeat_interleave(z.shape[1]) for factor in factors]
            d, z = d.flatten(0, 1), z.flatten(0, 1)
        torch.mm((d * factors[0].unsqueeze(1)).t(), z, out=out[0])
        if self.bias is not None:
            torch.mv(d.t(), factors[-1], out=out[1])

    def forget(self, rows: Tensor) -> None:
        self.z, self.d = without(self.z, rows), without(self.d, rows)


def outer_squared(z: Tensor, d: Tensor, *, ones: float = 0.0) -> Tensor:
    """Squared norms (n,) of sum_t d_t z_t', z (n, time, inputs) and d (n, time, outputs); z may have `ones` more 1s.

    >>> z, d = torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[3.0], [4.0]]])
    >>> round(outer_squared(z, d).item(), 3)  # (1 * 3 + 2 * 4) ** 2
    121.0
    """
    squares, largest = _squared(z, d, ones=ones)
    cancelled = squares < CANCELLED * largest
    if bool(cancelled.any()):
        exact, _ = _squared(z[cancelled].double(), d[cancelled].double(), ones=ones)
        squares[cancelled] = exact.to(squares.dtype)
    return squares.add_(largest, alpha=SLACK).clamp_(min=0.0)


def _squared(z: Tensor, d: Tensor, *, ones: float) -> tuple[Tensor, Tensor]:
    """The squared norms, and what they would be if all terms pointed the same way."""
    if z.shape[1] ** 2 > z.shape[2] * d.shape[2]:
        # Over that many periods the gradients themselves are smaller than the matrices of inner products.
        largest = z.square().sum(2).add_(ones).mul_(d.square().sum(2)).sqrt_().sum(1).square_()
        squares = torch.bmm(d.transpose(1, 2), z).square_().sum((1, 2))
        return squares.add_(d.sum(1).square_().sum(1), alpha=ones), largest
    inputs, outputs = torch.bmm(z, z.transpose(1, 2)), torch.bmm(d, d.transpose(1, 2))
    if ones:
        inputs.add_(ones)
    largest = inputs.diagonal(dim1=1, dim2=2).mul(outputs.diagonal(dim1=1, dim2=2)).sqrt_().sum(1).square_()
    return inputs.mul_(outputs).sum((1, 2)), largest


def without(batch: Tensor, rows: Tensor) -> Tensor:
    """The batch (n, ...) with zeros for the companies `rows`, a boolean (n,)."""
    return batch.masked_fill(rows.reshape(-1, *[1] * (batch.dim() - 1)), 0)
