"""A model is asked row by row whether a better indicator ever raises its risk; out comes the share where it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedcredit.data.features import PRESENT
from fedcredit.data.transforms import MISSING
from fedcredit.models.factors import Factor

STEP = 0.1  # of a transformed input, whose usual values lie within about -3..3
RISE = 1e-6  # of the logit; smaller ones are the rounding of float32


@dataclass(frozen=True)
class Violations:
    """Share of (row, indicator) pairs where a better value raised the logit: in the last period, in the whole window.

    `by_input` has the same two shares of each directed input; a pair without a known cell to move does not count.
    """

    last: float
    window: float
    by_input: Mapping[str, tuple[float, float]]


def monotone_violations(
    model: nn.Module, x: Tensor, *, features: Sequence[str], factors: Sequence[Factor], step: float = STEP
) -> Violations:
    """What happens to logits of windows x (n, time, features) when a directed input moves by `step` to the better.

    Missing cells and padding have no value that could be better: they stay as they are, and so do all flags.

    >>> from fedcredit.models.build import ModelSettings, build
    >>> factor = Factor("cash", up=("cash",))
    >>> model = build(ModelSettings("nine_factor", hidden=4, factors=(factor,)), features=("cash",), time=3, seed=0)
    >>> found = monotone_violations(model, torch.randn(50, 3, 1), features=("cash",), factors=(factor,))
    >>> found.last, found.window
    (0.0, 0.0)
    """
    was_training = model.training
    model.eval()
    with torch.no_grad():
        before = model(x)
        rises = {
            name: tuple(_rises(model, moved, before, is_moved) for moved, is_moved in _both(x, known, at, sign * step))
            for name, at, sign, known in _directed(x, features, factors)
        }
    model.train(was_training)
    last, window = (np.concatenate([pair[side] for pair in rises.values()]) for side in (0, 1))
    shares = {name: (_share(pair[0]), _share(pair[1])) for name, pair in rises.items()}
    return Violations(_share(last), _share(window), shares)


def _directed(
    x: Tensor, features: Sequence[str], factors: Sequence[Factor]
) -> Iterator[tuple[str, int, float, Tensor]]:
    """Name, place, sign and known cells (n, time) of every directed input."""
    at = {name: place for place, name in enumerate(features)}
    nothing = torch.zeros(x.shape[:2])
    present = x[:, :, at[PRESENT]] if PRESENT in at else nothing + 1
    for factor in factors:
        for name in factor.up + factor.down:
            missing = x[:, :, at[name + MISSING]] if name + MISSING in at else nothing
            yield name, at[name], 1.0 if name in factor.up else -1.0, (present > 0.5) & (missing < 0.5)


def _both(x: Tensor, known: Tensor, at: int, change: float) -> Iterator[tuple[Tensor, Tensor]]:
    """The windows with the last known-to-be period moved, then with all periods moved; and which rows moved at all."""
    only_last = known.clone()
    only_last[:, :-1] = False
    for cells in (only_last, known):
        moved = x.clone()
        moved[:, :, at] += change * cells
        yield moved, cells.any(dim=1)


def _rises(model: nn.Module, moved: Tensor, before: Tensor, is_moved: Tensor) -> NDArray[np.bool_]:
    rises: NDArray[np.bool_] = (model(moved) - before > RISE)[is_moved].numpy()
    return rises


def _share(rises: NDArray[np.bool_]) -> float:
    return float(rises.mean()) if len(rises) else 0.0
