"""Model settings into a freshly initialised torch module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import nn

from fedcredit.errors import ConfigError
from fedcredit.models.factors import Factor, check_apart, factors_for
from fedcredit.models.logistic import Logistic
from fedcredit.models.lstm import LSTM
from fedcredit.models.mlp import MLP
from fedcredit.models.nine_factor import NineFactor

Kind = Literal["logistic", "mlp", "lstm", "nine_factor"]


@dataclass(frozen=True)
class ModelSettings:
    """What the model is made of.

    kind: `logistic` (flattened window), `mlp` (`layers` hidden layers of width `hidden`, then one of `second_hidden`
    where that is above 0), `lstm` (`layers` stacked layers of `hidden` units) or `nine_factor` (`hidden` units a
    factor). dropout: share of hidden units that training leaves out. factors: those of a `nine_factor`, where they
    are other than the dictionary's.
    >>> ModelSettings("lstm", hidden=16).hidden
    16
    """

    kind: Kind
    hidden: int = 16
    layers: int = 1
    dropout: float = 0.0
    second_hidden: int = 0
    factors: tuple[Factor, ...] = ()

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
        if self.kind == "nine_factor" and (self.layers > 1 or self.dropout):
            found = f"layers {self.layers}, dropout {self.dropout:g}"
            raise ConfigError("model.layers", found=found, expected="1 layer without dropout in a nine_factor")
        if self.factors and self.kind != "nine_factor":
            raise ConfigError("model.factors", found=f"factors with kind {self.kind!r}", expected="kind nine_factor")
        check_apart(self.factors)

    def resolved(self, features: Sequence[str]) -> ModelSettings:
        """The same with the factors spelt out: what travels and what is kept must not hang on a later dictionary."""
        if self.kind != "nine_factor":
            return self
        return replace(self, factors=factors_for(features, self.factors))


def build(settings: ModelSettings, *, features: Sequence[str], time: int, seed: int) -> nn.Module:
    """A module with submodules `body` and `head` that maps x (n, time, features) to logits (n,).

    The same seed gives the same weights on every institution, and torch's global generator is left as it was.

    >>> inputs = [f"x{number}" for number in range(23)]
    >>> model = build(ModelSettings("mlp", hidden=64, second_hidden=32), features=inputs, time=1, seed=0)
    >>> sum(p.numel() for p in model.parameters())
    3649
    """
    width = len(features)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if settings.kind == "logistic":
            return Logistic(time=time, features=width)
        if settings.kind == "mlp":
            widths = [settings.hidden] * settings.layers + [settings.second_hidden] * (settings.second_hidden > 0)
            return MLP(time=time, features=width, widths=widths, dropout=settings.dropout)
        if settings.kind == "nine_factor":
            factors = factors_for(features, settings.factors)
            return NineFactor(features=features, factors=factors, hidden=settings.hidden)
        return LSTM(features=width, hidden=settings.hidden, layers=settings.layers, dropout=settings.dropout)
