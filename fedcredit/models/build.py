"""Model settings into a freshly initialised torch module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn

from fedcredit.errors import ConfigError
from fedcredit.models.logistic import Logistic
from fedcredit.models.lstm import LSTM
from fedcredit.models.mlp import MLP

Kind = Literal["logistic", "mlp", "lstm"]


@dataclass(frozen=True)
class ModelSettings:
    """What the model is made of.

    kind: `logistic` (flattened window), `mlp` (`layers` hidden layers of width `hidden`, then one of `second_hidden`
    where that is above 0) or `lstm` (`layers` stacked layers of `hidden` units). dropout: share of hidden units that
    training leaves out.
    >>> ModelSettings("lstm", hidden=16).hidden
    16
    """

    kind: Kind
    hidden: int = 16
    layers: int = 1
    dropout: float = 0.0
    second_hidden: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError("model.kind", found=repr(self.kind), expected=f"one of {', '.join(get_args(Kind))}")
        for name, value, least in (
            ("hidden", self.hidden, 1),
            ("layers", self.layers, 1),
            ("second_hidden", self.second_hidden, 0),
        ):
            if type(value) is not int or value < least:
                raise ConfigError(f"model.{name}", found=repr(value), expected=f"a whole number, {least} or more")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError("model.dropout", found=repr(self.dropout), expected="a share from 0 to below 1")
        if self.second_hidden and self.kind != "mlp":
            raise ConfigError(
                "model.second_hidden",
                found=f"{self.second_hidden} with kind {self.kind!r}",
                expected="0",
                hint="only the mlp has a second width; stack an lstm with model.layers",
            )


def build(settings: ModelSettings, *, features: int, time: int, seed: int) -> nn.Module:
    """A module with submodules `body` and `head` that maps x (n, time, features) to logits (n,).

    The same seed gives the same weights on every institution, and torch's global generator is left as it was.

    >>> model = build(ModelSettings("mlp", hidden=64, second_hidden=32), features=23, time=1, seed=0)
    >>> sum(p.numel() for p in model.parameters())
    3649
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if settings.kind == "logistic":
            return Logistic(time=time, features=features)
        if settings.kind == "mlp":
            widths = [settings.hidden] * settings.layers + [settings.second_hidden] * (settings.second_hidden > 0)
            return MLP(time=time, features=features, widths=widths, dropout=settings.dropout)
        return LSTM(features=features, hidden=settings.hidden, layers=settings.layers, dropout=settings.dropout)
