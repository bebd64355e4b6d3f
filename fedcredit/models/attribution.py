"""A model and its windows become the log-odds that each column of the table adds, against a typical company."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedcredit.data.features import PRESENT
from fedcredit.data.schema import Schema
from fedcredit.data.transforms import inputs_of, transform
from fedcredit.errors import ModelError
from fedcredit.models.bundle import BATCH
from fedcredit.models.logistic import Logistic
from fedcredit.models.lstm import LSTM
from fedcredit.models.nine_factor import NineFactor

# What a sum may miss, in log-odds, and as a share of it where it is above 1; a notch of the master scale is 0.4.
TOLERANCE = 0.01
NODES = (6, 12, 48, 192, 768, 3072)  # of the integral; rows that miss the tolerance get the next number
MOST_GAUSS = 48


@dataclass(frozen=True)
class Attribution:
    """Log-odds against a typical company; above 0 speaks for default. Each row adds up to logit - typical_logit.

    shares: (n, columns). factors and by_factor (n, factors): of a model that is a sum of factors, exact; else empty.
    gap: the largest distance of a sum s from what it must be, divided by 1 + |s|, before the rest was dealt out.
    """

    columns: tuple[str, ...]
    shares: NDArray[np.float64]
    logit: NDArray[np.float64]
    typical_logit: float
    factors: tuple[str, ...]
    by_factor: NDArray[np.float64]
    gap: float


def columns_of(schema: Schema, features: Sequence[str]) -> tuple[str, ...]:
    """For each model input, the column that it comes from; `present`, which is made, comes from itself.

    >>> from fedcredit.data.schema import Column, Label
    >>> columns_of(Schema((Column("debt", nullable=True),), Label("bad"), "id"), ("debt", "debt_missing", "present"))
    ('debt', 'debt', 'present')

    Raises:
        ModelError: the schema's columns do not give these inputs.
    """
    owners = [column.name for column in schema.columns for _ in _inputs_alone(schema, column.name)]
    names = [*inputs_of(schema), PRESENT][: len(features)]
    if len(features) < len(owners) or list(features) != names:
        raise ModelError("inputs", found=f"{len(features)} inputs", expected="those of the schema's columns, in order")
    return (*owners, PRESENT)[: len(features)]


def _inputs_alone(schema: Schema, name: str) -> tuple[str, ...]:
    column = next(column for column in schema.columns if column.name == name)
    return inputs_of(Schema((column,), schema.label, schema.company))


def typical_inputs(schema: Schema, typical: Mapping[str, float | str], features: Sequence[str]) -> NDArray[np.float32]:
    """The model inputs (features,) of a period of the typical company, whose columns all have a value.

    Raises:
        ModelError: a column has no typical value.
    """
    if without := [name for name in schema.features if name not in typical]:
        found = f"none for {without[0]!r}"
        raise ModelError("typical values", found=found, expected="one for each column", hint="hand them in as a file")
    row, _ = transform(pd.DataFrame({name: [typical[name]] for name in schema.features}), schema)
    return np.r_[row[0], np.ones(len(features) - row.shape[1], dtype=np.float32)]


def attribute(
    model: nn.Module,
    x: NDArray[np.float32],
    *,
    columns: Sequence[str],
    typical: NDArray[np.float32],
    tolerance: float = TOLERANCE,
) -> Attribution:
    """What each column adds to the logits of windows x (n, time, features): integrated gradients (Sundararajan 2017).

    The path leads from the typical company, known in the same periods, to the company. For a `Logistic` that is exact.
    A `NineFactor` is exact by factor, and within a factor the path goes through its memories, where no flag jumps.
    What a shorter history adds is the column `present`. What the integral misses, below the tolerance, is dealt out
    over a row in proportion to the sizes of its shares.

    Raises:
        ModelError: a sum misses the difference of the logits by more than the tolerance at the finest integral.
    """
    names = tuple(dict.fromkeys(columns))
    owner = torch.tensor([names.index(name) for name in columns])
    at_present = list(columns).index(PRESENT) if PRESENT in columns else None
    was_training = model.training
    model.eval()
    row = torch.from_numpy(typical)
    parts = []
    with torch.no_grad():
        typical_logit = float(model(_typical(row, x.shape[1]))[0])
        for rows in torch.split(torch.from_numpy(x), BATCH):
            if isinstance(model, NineFactor):
                parts.append(_of_factors(model, rows, row, owner=owner, width=len(names), tolerance=tolerance))
            else:
                parts.append(_of_any(model, rows, row, owner=owner, at_present=at_present, tolerance=tolerance))
    model.train(was_training)
    shares, logit, by_factor, gap = (torch.cat(part).double().numpy() for part in zip(*parts, strict=True))
    factors = model.factors if isinstance(model, NineFactor) else ()
    return Attribution(names, shares, logit, typical_logit, factors, by_factor, float(gap.max(initial=0.0)))


Part = tuple[Tensor, Tensor, Tensor, Tensor]


def _typical(row: Tensor, time: int) -> Tensor:
    return row.expand(1, time, len(row))


def _of_factors(model: NineFactor, x: Tensor, typical: Tensor, *, owner: Tensor, width: int, tolerance: float) -> Part:
    start = model.body.memories(model.steps(_typical(typical, x.shape[1])))
    end = model.body.memories(model.steps(x))
    of_start, of_end = (model.head.contributions(model.body.quality(memories)) for memories in (start, end))
    factor = torch.tensor([*model.body.owners[0], *model.body.owners[1]])
    by_factor = (of_end - of_start).double()
    inputs, gap = integrated(
        lambda memories: model.head(model.body.quality(memories)),
        end,
        start.expand_as(end),
        owner=factor[:, None].expand(end.shape[1:]),
        wanted=by_factor,
        tolerance=tolerance,
    )
    shares = torch.zeros(len(x), width, dtype=torch.float64)
    shares.index_add_(1, owner[model.inputs], inputs.sum(dim=2))
    return shares, model.head(model.body.quality(end)), by_factor, gap


def _of_any(
    model: nn.Module, x: Tensor, typical: Tensor, *, owner: Tensor, at_present: int | None, tolerance: float
) -> Part:
    width = int(owner.max()) + 1
    start = _typical(typical, x.shape[1]).expand_as(x)
    whole: Tensor = model(start[:1])
    if at_present is not None:  # the typical company, with the same periods empty
        start = start * (x[:, :, at_present, None] > 0.5)
    before, logit = model(start).double(), model(x).double()
    wanted = (logit - before)[:, None]
    if isinstance(model, Logistic):
        inputs = (x - start).double() * model.head.weight.double().reshape(x.shape[1:])
        gap = (inputs.sum(dim=(1, 2)) - wanted[:, 0]).abs() / (1 + wanted[:, 0].abs())
    else:
        everything = torch.zeros(x.shape[1:], dtype=torch.long)
        # A sum may be right by chance while its parts are not yet, where a model has kinks: begin more finely.
        nodes = NODES[1:] if isinstance(model, LSTM) else NODES[2:]
        inputs, gap = integrated(model, x, start, owner=everything, wanted=wanted, tolerance=tolerance, nodes=nodes)
    shares = torch.zeros(len(x), width, dtype=torch.float64).index_add_(1, owner, inputs.sum(dim=1))
    if at_present is not None:
        shares[:, owner[at_present]] += before - whole.double()
    return shares, logit, torch.zeros(len(x), 0, dtype=torch.float64), gap


def integrated(
    function: Callable[[Tensor], Tensor],
    end: Tensor,
    start: Tensor,
    *,
    owner: Tensor,
    wanted: Tensor,
    tolerance: float = TOLERANCE,
    nodes: Sequence[int] = NODES,
) -> tuple[Tensor, Tensor]:
    """The integrated gradients of `function` from start to end, both (n, ...), and what each row missed at most.

    owner: for each entry of a row, the group whose entries must add up to `wanted` (n, groups).

    Raises:
        ModelError: some group misses by more than the tolerance at the finest integral.
    """
    shares, gap = _integral(function, end, start, owner=owner, wanted=wanted, nodes=nodes[0])
    for finer in nodes[1:]:
        far = torch.nonzero(~(gap <= tolerance)).flatten()
        if not len(far):
            break
        shares[far], gap[far] = _integral(function, end[far], start[far], owner=owner, wanted=wanted[far], nodes=finer)
    if not bool((gap <= tolerance).all()):
        found = f"shares that miss the difference of the log-odds by {float(gap.max()):.3g}"
        raise ModelError("attribution", found=found, expected=f"at most {tolerance:g}", hint="the model is too rough")
    return shares, gap


def _integral(
    function: Callable[[Tensor], Tensor], end: Tensor, start: Tensor, *, owner: Tensor, wanted: Tensor, nodes: int
) -> tuple[Tensor, Tensor]:
    way = end - start
    mean = torch.zeros_like(way, dtype=torch.float64)
    for place, weight in zip(*_rule(nodes), strict=True):
        with torch.enable_grad():
            at = (start + place * way).requires_grad_()
            (slope,) = torch.autograd.grad(function(at).sum(), at)
        mean += weight * slope
    shares = mean * way
    sums = torch.zeros_like(wanted, dtype=torch.float64)
    sums.index_add_(1, owner.flatten(), shares.flatten(1))
    missed = wanted - sums
    # In proportion to the sizes: a share is not turned into its opposite for the sake of a sum.
    sizes = torch.zeros_like(sums).index_add_(1, owner.flatten(), shares.abs().flatten(1))
    part = missed / sizes.clamp_min(1e-12)
    shares = shares + shares.abs() * part[:, owner.flatten()].reshape(shares.shape)
    return shares, (missed.abs() / (1 + wanted.abs())).amax(dim=1)


@cache
def _rule(nodes: int) -> tuple[list[float], list[float]]:
    """Places and weights on 0..1: Gauss's for a smooth function, plain middles for one with kinks."""
    if nodes > MOST_GAUSS:
        return ((np.arange(nodes) + 0.5) / nodes).tolist(), [1 / nodes] * nodes
    places, weights = np.polynomial.legendre.leggauss(nodes)
    return ((places + 1) / 2).tolist(), (weights / 2).tolist()
