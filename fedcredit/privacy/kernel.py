"""One batch of companies into the sum of their clipped gradients, in one pass forth and back; and noise on top."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fedcredit.errors import ConfigError, TableError
from fedcredit.privacy.chain import chain_of
from fedcredit.privacy.companies import Companies
from fedcredit.privacy.randomness import Stream

Clipping = Literal["flat", "per_layer"]
# float32 rounds: a gradient clipped to a hair less than the clip is never longer than it.
HAIR = 1.0 - 2.0**-19
# The noisy sum is rounded to multiples of the largest power of two below this share of the noise.
GRID_BITS = 20


class Kernel:
    """The clipped gradients of one model, whose parameters it reads afresh at every batch.

    `flat` (clipping) limits a company's whole gradient to norm `clip`. `per_layer` limits each of the k parameter
    tensors to clip / sqrt(k), as Opacus does, so that the whole is within `clip` as well.

    Raises:
        UnknownLayer: the model has a layer that the kernel does not know (see `chain_of`).
    """

    def __init__(self, model: nn.Module, *, clip: float, clipping: Clipping = "flat", random: Stream) -> None:
        if not 0.0 < clip < math.inf:
            raise ConfigError("privacy.clip", found=repr(clip), expected="a number above 0")
        if clipping not in get_args(Clipping):
            raise ConfigError("privacy.clipping", found=repr(clipping), expected=f"one of {get_args(Clipping)}")
        self.chain = chain_of(model, random=random)
        self.parameters = list(model.parameters())
        self.flat = torch.zeros(sum(p.numel() for p in self.parameters), dtype=self.parameters[0].dtype)
        pieces = torch.split(self.flat, [p.numel() for p in self.parameters])
        #: Views of `flat` in the shape of each parameter, in the order of model.parameters().
        self.gradients = [piece.view(p.shape) for piece, p in zip(pieces, self.parameters, strict=True)]
        place = {id(p): gradient for p, gradient in zip(self.parameters, self.gradients, strict=True)}
        self.trained = [(tap, [place[id(p)] for p in tap.parameters]) for tap in self.chain if tap.parameters]
        self.first = next(number for number, tap in enumerate(self.chain) if tap.parameters)
        self.apart = clipping == "per_layer"
        self.clip = HAIR * clip / (math.sqrt(len(self.parameters)) if self.apart else 1.0)

    @torch.no_grad()
    def clipped(self, x: Tensor, y: Tensor, *, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The sum over companies of clipped gradients, flat, without noise; and the sum of their losses.

        x (b, ...), y (b,) of 0. or 1., a row a company; the loss is the binary cross-entropy of the logits. The vector
        is in the order of model.parameters() and is overwritten by the next call. A company whose gradient is not a
        number, or too long for one, contributes zero. No companies at all give zeros. `weight` (b,), at most 1, scales
        each clipped gradient down: that company then moves the sum by its weight times the clip.
        """
        if len(y) == 0:
            return self.flat.zero_(), self.flat.new_zeros(())
        out = x
        for tap in self.chain:
            out = tap.forward(out)
        logits = out.reshape(len(y))
        grad = (logits.sigmoid() - y).reshape(out.shape)
        for number in range(len(self.chain) - 1, self.first - 1, -1):
            grad = self.chain[number].backward(grad, further=number > self.first)
        factors = self._factors()
        self._sum(factors if weight is None else [factor * weight for factor in factors])
        return self.flat, binary_cross_entropy_with_logits(logits, y, reduction="sum")

    def _factors(self) -> list[Tensor]:
        """What each company's gradient is multiplied by: one (b,) a parameter of the chain, or one for all."""
        squares = [norm for tap, _ in self.trained for norm in tap.squared(apart=self.apart)]
        total = sum(squares[1:], squares[0])
        factors = [(self.clip / norm.sqrt()).clamp_(max=1.0) for norm in (squares if self.apart else [total])]
        if not math.isfinite(float(total.max())):
            # Zero times a gradient that is no number is none either: such companies are taken out altogether.
            bad = total.isfinite().logical_not()
            for tap, _ in self.trained:
                tap.forget(bad)
            factors = [factor.masked_fill(bad, 0.0) for factor in factors]
        return factors

    def _sum(self, factors: list[Tensor]) -> None:
        left = factors
        for tap, out in self.trained:
            tap.clipped(left[: len(out)], out=out)
            left = left[len(out) :] if self.apart else left


def clipped_sum(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    company: NDArray[np.str_],
    clip: float,
    sample_rate: float,
    random: Stream,
    clipping: Clipping = "flat",
    weight: Tensor | None = None,
) -> tuple[Tensor, float]:
    """The flat sum of clipped gradients of a freshly drawn Poisson batch, without noise, and the expected batch size.

    Two tables that differ in one company's rows give sums at most `clip` apart. The sum is not private until noise is
    added to it, here (`add_noise`) or in shares by several institutions; divide by the expected batch size, never by
    the drawn one, which is not told. In the order of model.parameters(). weight (n,): see `Kernel.clipped`.

    Raises:
        UnknownLayer: the model has a layer that the kernel does not know.
        TableError: there are no rows.
    """
    if len(y) == 0:
        raise TableError("training rows", found="none", expected="at least one", hint="leave this institution out")
    companies = Companies(company)
    rows = companies.draw(sample_rate, random=random)
    kernel = Kernel(model, clip=clip, clipping=clipping, random=random)
    weights = None if weight is None else weight[rows]
    return kernel.clipped(x[rows], y[rows], weight=weights)[0], sample_rate * len(companies)


@torch.no_grad()
def add_noise(total: Tensor, *, spread: float, random: Stream) -> Tensor:
    """`total`, in place, with Gaussian noise of standard deviation `spread`, on a grid that no table has a part in.

    Noise and sum are added in float64 and rounded to a multiple of a power of two near spread * 2^-20. That is
    post-processing, and leaves no low-order bits in which values that one table cannot produce would give another
    away (Mironov 2012).

    >>> noisy = add_noise(torch.zeros(1000), spread=1.0, random=Stream())
    >>> bool((noisy * 2**20 == (noisy * 2**20).round()).all())
    True
    """
    grid = 2.0 ** (math.floor(math.log2(spread)) - GRID_BITS)
    noisy = random.normals(total.numel()).mul_(spread / grid).add_(total.flatten(), alpha=1.0 / grid).round_()
    return total.copy_(noisy.view(total.shape)).mul_(grid)
