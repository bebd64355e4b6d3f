"""A window into one logit that is a sum of factors, each of which can only rise in the direction that it may."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, softplus

from fedcredit.data.features import PRESENT
from fedcredit.data.transforms import MISSING
from fedcredit.models.factors import Factor

# Shares of a memory that are left a period later, as training starts: the newest step, a few periods, the level.
FADING = (0.12, 0.73, 0.98)
# softplus(raw * 5) / 5: nearly raw itself above 0.3, so that positive weights move as fast as plain ones.
SHARPNESS = 5.0


class NineFactor(nn.Module):
    """Base plus one contribution a factor; more of an `up` input, or less of a `down` one, never raises the logit.

    Directions hold by construction, whatever was learnt: for a cell that is known, for a change in the last period
    only, in the whole window, or from any period on, with missing flags as they are. The contributions add up to the
    logit exactly; inputs of different factors do not interact.

    >>> factors = (Factor("debt", down=("debt",)), Factor("cash", up=("cash",), free=("cash_missing",)))
    >>> model = NineFactor(features=("debt", "cash", "cash_missing"), factors=factors, hidden=4)
    >>> x = torch.randn(5, 3, 3)
    >>> model.contributions(x).shape, torch.allclose(model.base + model.contributions(x).sum(1), model(x), atol=1e-5)
    (torch.Size([5, 2]), True)
    """

    inputs: Tensor
    signs: Tensor
    flags: Tensor

    def __init__(self, *, features: Sequence[str], factors: Sequence[Factor], hidden: int) -> None:
        super().__init__()
        at = {name: place for place, name in enumerate(features)}
        ways = [
            (k, name, sign) for k, f in enumerate(factors) for sign, way in ((1, f.up), (-1, f.down)) for name in way
        ]
        ways.sort(key=lambda way: way[0])
        free = [(k, name) for k, factor in enumerate(factors) for name in factor.free]
        names = [name for _, name, _ in ways] + [name for _, name in free]
        self.factors = tuple(factor.name for factor in factors)
        self.directed = len(ways)
        self.present = at.get(PRESENT)
        keep = {"persistent": False}  # they follow from the names, so they are no weights
        self.register_buffer("inputs", torch.tensor([at[name] for name in names]), **keep)
        self.register_buffer("signs", torch.tensor([float(sign) for _, _, sign in ways] + [1.0] * len(free)), **keep)
        # The column of each input's missing flag; the column after the last one is always 0.
        flags = [at.get(name + MISSING, len(features)) for name in names]
        self.register_buffer("flags", torch.tensor(flags), **keep)
        self.body = Encoders(
            directed=[k for k, _, _ in ways], free=[k for k, _ in free], factors=len(factors), hidden=hidden
        )
        self.head = Balance(len(factors))

    @property
    def base(self) -> Tensor:
        """The logit before any factor has spoken."""
        return self.head.bias[0]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n,) of windows x (n, time, features)."""
        logits: Tensor = self.head(self.body(self.steps(x)))
        return logits

    def contributions(self, x: Tensor) -> Tensor:
        """What each factor adds to the logit, (n, factors): above 0 it speaks for default."""
        return self.head.contributions(self.body(self.steps(x)))

    def steps(self, x: Tensor) -> Tensor:
        """The directed inputs as a first level with the steps after it, better being up; then the free inputs."""
        level = carried(x.index_select(2, self.inputs) * self.signs, known=self._known(x))
        steps = level.clone()
        steps[:, 1:, : self.directed] -= level[:, :-1, : self.directed]
        return steps

    def _known(self, x: Tensor) -> Tensor:
        flags = torch.cat([x, x.new_zeros(*x.shape[:2], 1)], dim=2).index_select(2, self.flags)
        is_known = flags < 0.5
        return is_known if self.present is None else is_known & (x[:, :, self.present, None] > 0.5)


def carried(values: Tensor, *, known: Tensor) -> Tensor:
    """Values (n, time, m) where an unknown cell takes the last known one, or the first where none came before; else 0.

    >>> known = torch.tensor([[[False], [True], [False]]])
    >>> carried(torch.tensor([[[0.0], [2.0], [0.0]]]), known=known).flatten().tolist()
    [2.0, 2.0, 2.0]
    """
    held = torch.zeros_like(values[:, 0])
    for period in reversed(range(values.shape[1])):
        held = torch.where(known[:, period], values[:, period], held)
    filled = []
    for period in range(values.shape[1]):
        held = torch.where(known[:, period], values[:, period], held)
        filled.append(held)
    return torch.stack(filled, dim=1)


class Encoders(nn.Module):
    """One small network a factor: (n, time, inputs) into the quality that each sees, (n, factors), better being up.

    Every input is remembered several times, each memory fading at a rate that is learnt. Weights on memories of
    directed steps are positive, activations rise, and the state of the free inputs enters where it cannot bend that:
    in the bias of the rising units (Daniels and Velikova 2010; a third of the units is convex, a third concave, a
    third bounded, as Runje and Shankaranarayana 2023). All factors are computed at once, in one module without
    buffers, so that Opacus can take its gradients company by company.
    """

    def __init__(self, *, directed: Sequence[int], free: Sequence[int], factors: int, hidden: int) -> None:
        super().__init__()
        self.owners = (tuple(directed), tuple(free))
        self.count = factors
        start = torch.tensor(FADING).logit()
        self.fading = nn.Parameter(start.repeat(len(directed) + len(free), 1))
        scatter = 0.05 * torch.randn(len(directed), len(FADING), hidden)
        self.rising = nn.Parameter(raw_of(0.05) + scatter)
        self.bias = nn.Parameter(0.5 * torch.randn(factors, hidden))
        self.out = nn.Parameter(torch.full((factors, hidden), raw_of(1 / hidden)))
        if free:
            self.free = nn.Parameter(0.1 * torch.randn(len(free), len(FADING), hidden))
            self.state_bias = nn.Parameter(torch.zeros(factors, hidden))
            self.shift = nn.Parameter(0.1 * torch.randn(factors, hidden, hidden))
            self.state_out = nn.Parameter(torch.zeros(factors, hidden))

    def forward(self, steps: Tensor) -> Tensor:
        """Quality (n, factors) of steps (n, time, directed + free)."""
        return self.quality(self.memories(steps))

    def memories(self, steps: Tensor) -> Tensor:
        """What is left of each input's steps, (n, directed + free, memories); it is linear in the steps."""
        directed = len(self.owners[0])
        back = torch.arange(steps.shape[1] - 1, -1, -1, dtype=steps.dtype, device=steps.device)
        left = torch.sigmoid(self.fading)[:, :, None] ** back
        memories = torch.einsum("ntj,jbt->njb", steps, left)
        if directed == memories.shape[1]:
            return memories
        mean = memories[:, directed:] / left[directed:].sum(dim=2)
        return torch.cat([memories[:, :directed], mean], dim=1)

    def quality(self, memories: Tensor) -> Tensor:
        """Quality (n, factors) of the memories."""
        directed, free = self.owners
        units = self._by_factor(memories[:, : len(directed)], positive(self.rising), owners=directed) + self.bias
        if not free:
            return (bent(units) * positive(self.out)).sum(dim=2)
        mean = memories[:, len(directed) :]
        state = torch.tanh(self._by_factor(mean, self.free, owners=free) + self.state_bias)
        units = units + torch.einsum("nks,ksh->nkh", state, self.shift)
        return (bent(units) * positive(self.out) + state * self.state_out).sum(dim=2)

    def _by_factor(self, memories: Tensor, weights: Tensor, *, owners: Sequence[int]) -> Tensor:
        """(n, factors, hidden): one matrix of blocks, which is faster than a small product for every input."""
        member = torch.eye(self.count, dtype=memories.dtype, device=memories.device)[list(owners)]
        blocks = member[:, None, :, None] * weights[:, :, None, :]
        return (memories.flatten(1) @ blocks.flatten(0, 1).flatten(1)).reshape(
            len(memories), self.count, weights.shape[2]
        )


class Balance(nn.Module):
    """Base minus the qualities of the factors, each with a positive weight."""

    def __init__(self, factors: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((factors,), raw_of(1.0)))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, quality: Tensor) -> Tensor:
        """Logits (n,) of qualities (n, factors)."""
        return self.bias + self.contributions(quality).sum(dim=1)

    def contributions(self, quality: Tensor) -> Tensor:
        """(n, factors)."""
        return -positive(self.weight) * quality


def positive(raw: Tensor) -> Tensor:
    """Weights above 0, whatever was learnt."""
    return softplus(raw, beta=SHARPNESS)


def raw_of(weight: float) -> float:
    """What `positive` turns into `weight`.

    >>> round(positive(torch.tensor(raw_of(0.25))).item(), 6)
    0.25
    """
    return math.log(math.expm1(SHARPNESS * weight)) / SHARPNESS


def bent(units: Tensor) -> Tensor:
    """Rising activations on the last axis: a third each convex, concave, bounded."""
    convex, concave, bounded = torch.tensor_split(units, 3, dim=-1)
    return torch.cat([elu(convex), -elu(-concave), torch.tanh(bounded)], dim=-1)
