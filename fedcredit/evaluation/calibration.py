"""A probability learnt where defaults are common becomes one for where they are rare, or the other way round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from fedcredit.errors import ConfigError
from fedcredit.evaluation.metrics import Floats

EVERYBODY = "all"


def prior_shift(p: ArrayLike, *, from_rate: float, to_rate: float) -> Floats:
    """Probabilities after the prevalence moves, while the classes themselves look as before.

    The odds are multiplied by the ratio of the prior odds (Elkan 2001, theorem 2; Saerens et al. 2002, equation 4).
    Ranks, and so the AUC, do not change.

    >>> prior_shift([0.5, 0.0, 1.0], from_rate=0.5, to_rate=0.2).tolist()
    [0.2, 0.0, 1.0]
    """
    for name, rate in (("from_rate", from_rate), ("to_rate", to_rate)):
        if not 0 < rate < 1:
            raise ConfigError(f"prior shift, {name}", found=str(rate), expected="a rate between 0 and 1, both excluded")
    score = np.asarray(p, dtype=np.float64)
    up, down = to_rate / from_rate, (1 - to_rate) / (1 - from_rate)
    shifted: Floats = score * up / (score * up + (1 - score) * down)
    return shifted


def rates(y: ArrayLike, institution: ArrayLike) -> dict[str, float]:
    """Default rate of each institution and of "all".

    >>> rates([1, 0, 0, 0], ["A", "A", "B", "B"])
    {'all': 0.25, 'A': 0.5, 'B': 0.0}
    """
    outcome, where = np.asarray(y, dtype=np.float64), np.asarray(institution)
    everybody = {EVERYBODY: float(outcome.mean())} if len(outcome) else {}
    return everybody | {str(name): float(outcome[where == name].mean()) for name in np.unique(where)}


@dataclass(frozen=True)
class Prevalence:
    """Default rates known before the scored split is opened, by institution and for "all" (see `rates`).

    train: of the rows that a model learnt from. target: of the population that it will score. The target must not
    come from the labels of the scored split; the rate of the validation split is the usual choice.
    An institution that is not named, or whose rate is 0 or 1, takes the rate of "all"; without that nothing is shifted.
    """

    train: Mapping[str, float] = field(default_factory=dict)
    target: Mapping[str, float] = field(default_factory=dict)

    def calibrate(self, p: ArrayLike, *, trained_on: str, scored_on: str) -> Floats:
        """Probabilities for the population `scored_on` of a model that learnt from the rows of `trained_on`."""
        source, goal = _rate(self.train, trained_on), _rate(self.target, scored_on)
        if source is None or goal is None:
            return np.asarray(p, dtype=np.float64)
        return prior_shift(p, from_rate=source, to_rate=goal)


def _rate(rates: Mapping[str, float], name: str) -> float | None:
    for key in (name, EVERYBODY):
        if 0 < rates.get(key, 0.0) < 1:
            return rates[key]
    return None
