"""Embeddings and layer norms, forth and back, with each company's clipped gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fedcredit.privacy.taps import SLACK, without


class LayerNorm:
    """nn.LayerNorm over the last axis of rows (n, inputs) or of periods (n, time, inputs).

    Its gradients are as small as its input, so each company's is built.
    """

    def __init__(self, layer: nn.LayerNorm) -> None:
        self.layer = layer
        self.parameters: list[Tensor] = [layer.weight, layer.bias] if layer.bias is not None else [layer.weight]

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        shape = list(layer.normalized_shape)
        out, self.mean, self.rstd = torch.native_layer_norm(x, shape, layer.weight, layer.bias, layer.eps)
        self.x = x
        return out

    def backward(self, grad: Tensor, *, further: bool) -> Tensor:
        layer, shape = self.layer, list(self.layer.normalized_shape)
        # Over everything but the company and the last axis: a company's gradient is a sum over its periods.
        between = tuple(range(1, grad.dim() - 1))
        scaled = grad * (self.x - self.mean) * self.rstd
        self.gradients = [scaled.sum(between), grad.sum(between)] if between else [scaled, grad]
        del self.gradients[len(self.parameters) :]
        if not further:
            return grad
        wanted = [True, False, False]
        back = torch.ops.aten.native_layer_norm_backward
        inner: Tensor = back(grad, self.x, shape, self.mean, self.rstd, layer.weight, layer.bias, wanted)[0]
        return inner

    def squared(self, *, apart: bool) -> list[Tensor]:
        norms = [gradient.square().sum(1) for gradient in self.gradients]
        return norms if apart else [sum(norms[1:], norms[0])]

    def clipped(self, factors: Sequence[Tensor], *, out: Sequence[Tensor]) -> None:
        for tensor, gradient, at in zip(out, self.gradients, (0, -1), strict=False):
            torch.mv(gradient.t(), factors[at], out=tensor)

    def forget(self, rows: Tensor) -> None:
        self.gradients = [without(gradient, rows) for gradient in self.gradients]


class Embedding:
    """nn.Embedding of codes (n,) or (n, time): the input of a chain, so nothing lies before it."""

    def __init__(self, layer: nn.Embedding) -> None:
        self.weight, self.padding = layer.weight, layer.padding_idx
        self.parameters: list[Tensor] = [layer.weight]

    def forward(self, x: Tensor) -> Tensor:
        self.codes = x
        return nn.functional.embedding(x, self.weight)

    def backward(self, grad: Tensor, *, further: bool) -> Tensor:
        if self.padding is not None:
            grad = grad.masked_fill((self.codes == self.padding).unsqueeze(-1), 0)
        self.d = grad
        return grad

    def squared(self, *, apart: bool) -> list[Tensor]:
        if self.codes.dim() == 1:
            return [self.d.square().sum(1)]
        # Periods with the same code add up in the same row, others stand apart. In float64, as they may cancel.
        d = self.d.double()
        outputs = torch.bmm(d, d.transpose(1, 2))
        largest = outputs.diagonal(dim1=1, dim2=2).sqrt().sum(1).square_()
        same = self.codes.unsqueeze(1) == self.codes.unsqueeze(2)
        # Not a product with 0 and 1: what is no number must stay seen.
        outputs.masked_fill_(~same, 0)
        return [outputs.sum((1, 2)).add_(largest, alpha=SLACK).to(self.d.dtype)]

    def clipped(self, factors: Sequence[Tensor], *, out: Sequence[Tensor]) -> None:
        factor = factors[0].reshape(-1, *[1] * (self.d.dim() - 1))
        rows = (self.d * factor).reshape(-1, self.d.shape[-1])
        out[0].zero_().index_add_(0, self.codes.flatten(), rows)

    def forget(self, rows: Tensor) -> None:
        self.d = without(self.d, rows)
