"""A model, windows and another value of one column in the last period become the log-odds that would then hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedcredit.data.features import PRESENT
from fedcredit.data.schema import Column, Schema
from fedcredit.data.transforms import MISSING, transform
from fedcredit.models.attribution import columns_of
from fedcredit.models.bundle import BATCH
from fedcredit.models.factors import Factor
from fedcredit.models.nine_factor import NineFactor


@dataclass(frozen=True)
class WhatIf:
    """Log-odds of windows x (n, time, features), of the model `model`, where a company reports another value.

    Of a `NineFactor` only the factor that reads the column is computed again, which is several times faster.
    """

    model: nn.Module
    x: NDArray[np.float32]
    schema: Schema
    features: tuple[str, ...]
    logit: NDArray[np.float64]

    def __call__(self, column: str, rows: NDArray[np.intp], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-odds (m,) of the windows `rows`, with `values` (m,) of the column in the last period, in its unit."""
        return self.of(column)(rows, values)

    def of(self, column: str) -> Callable[[NDArray[np.intp], NDArray[np.float64]], NDArray[np.float64]]:
        """The same for one column, for many calls."""
        stated = next(each for each in self.schema.columns if each.name == column)
        owners = columns_of(self.schema, self.features)
        mine = [place for place, name in enumerate(owners) if name == column]
        model, kept = self.model, list(range(len(self.features)))
        if isinstance(model, NineFactor):
            model, kept = alone(model, self.features, reads=mine)
        x, where = torch.from_numpy(self.x)[:, :, kept], [kept.index(place) for place in mine]
        before = np.full(len(x), np.nan) if model is not self.model else self.logit

        def logits(rows: NDArray[np.intp], values: NDArray[np.float64]) -> NDArray[np.float64]:
            if len(new := rows[np.isnan(before[rows])]):
                before[new] = _logits(model, x[torch.from_numpy(new)])
            changed = x[torch.from_numpy(rows)]
            changed[:, -1, where] = torch.from_numpy(_inputs(stated, values, self.schema))
            return self.logit[rows] + (_logits(model, changed) - before[rows])

        return logits


def _inputs(column: Column, values: NDArray[np.float64], schema: Schema) -> NDArray[np.float32]:
    one = replace(schema, columns=(column,))
    return transform(pd.DataFrame({column.name: values}), one)[0]


def _logits(model: nn.Module, x: Tensor) -> NDArray[np.float64]:
    was_training = model.training
    model.eval()
    with torch.no_grad():
        found = torch.cat([model(rows) for rows in torch.split(x, BATCH)]) if len(x) else torch.zeros(0)
    model.train(was_training)
    return found.double().numpy()


def alone(model: NineFactor, features: tuple[str, ...], *, reads: list[int]) -> tuple[NineFactor, list[int]]:
    """The factors that read these inputs as a model of their own, and the places of the inputs that it needs.

    Its logit is theirs up to a constant: factors do not interact.
    """
    owners = [*model.body.owners[0], *model.body.owners[1]]
    wanted = sorted({owners[j] for j, place in enumerate(model.inputs.tolist()) if place in reads})
    j_kept = [j for j, owner in enumerate(owners) if owner in wanted]
    names = [features[int(model.inputs[j])] for j in range(len(owners))]
    factors = []
    for k in wanted:
        mine = [j for j in j_kept if owners[j] == k]
        directed = [j for j in mine if j < model.directed]
        factors.append(
            Factor(
                model.factors[k],
                up=tuple(names[j] for j in directed if model.signs[j] > 0),
                down=tuple(names[j] for j in directed if model.signs[j] < 0),
                free=tuple(names[j] for j in mine if j >= model.directed),
            )
        )
    needed = {names[j] for j in j_kept} | {names[j] + MISSING for j in j_kept} | {PRESENT}
    kept = [place for place, name in enumerate(features) if name in needed]
    hidden = model.body.bias.shape[1]
    with torch.random.fork_rng(devices=[]):
        part = NineFactor(features=[features[place] for place in kept], factors=factors, hidden=hidden)
    return _filled(part, model, factors=wanted), kept


def _filled(part: NineFactor, model: NineFactor, *, factors: list[int]) -> NineFactor:
    """The part with the model's weights: inputs stand in the model's order, so that they are rows of its tensors."""
    body, whole = part.body, model.body
    directed = [j for j, owner in enumerate(whole.owners[0]) if owner in factors]
    free = [j for j, owner in enumerate(whole.owners[1]) if owner in factors]
    with torch.no_grad():
        # `up` stand before `down` in a part, and in a model too: sorted by factor, in the order of the factor's lists.
        body.fading.copy_(whole.fading[directed + [model.directed + j for j in free]])
        body.rising.copy_(whole.rising[directed])
        body.out.copy_(whole.out[factors])
        bias = whole.bias[factors]
        if free:
            body.free.copy_(whole.free[free])
            for name in ("state_bias", "shift", "state_out"):
                getattr(body, name).copy_(getattr(whole, name)[factors])
        elif whole.owners[1]:  # without free inputs a state is constant
            bias = bias + torch.einsum("ks,ksh->kh", torch.tanh(whole.state_bias[factors]), whole.shift[factors])
        body.bias.copy_(bias)
        part.head.weight.copy_(model.head.weight[factors])
    return part.eval()
