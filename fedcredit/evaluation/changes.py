"""Two models' scores of one institution's rows become what changes there, each change with its paired interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fedcredit.errors import ConfigError
from fedcredit.evaluation.approval import Queue, approval_at, auc_of, bad_rate_at, ks_of, loss_at, queue
from fedcredit.evaluation.intervals import (
    DRAWS,
    auc_draws,
    company_weights,
    over_seeds,
    percentile_interval,
    seed_weights,
)
from fedcredit.evaluation.metrics import Floats, auc

LGD = 0.45  # Basel framework CRE32.6, senior unsecured claims under the foundation approach
APPLICANTS = 1_000


@dataclass(frozen=True)
class Terms:
    """How the institution lends: share of applicants approved, money lent to each, share of it lost on a default.

    Without an average loan the table's own amounts are used, and without those one loan is the unit of money.
    """

    approval_rate: float = 0.8
    average_loan: float | None = None
    lgd: float = LGD
    currency: str = ""

    def __post_init__(self) -> None:
        for name, value in (("approval_rate", self.approval_rate), ("lgd", self.lgd)):
            if not 0 < value <= 1:
                raise ConfigError(f"gain, {name}", found=str(value), expected="a share above 0 and at most 1")
        if self.average_loan is not None and not 0 < self.average_loan < float("inf"):
            raise ConfigError("gain, average_loan", found=str(self.average_loan), expected="an amount above 0")


@dataclass(frozen=True)
class Change:
    """A figure under the institution's model and under the federated one; difference = federated - baseline."""

    baseline: float
    federated: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Rival:
    """Scores (seeds, rows) of one model and the seeds' names, with which two models are paired."""

    seeds: tuple[int, ...]
    p: Floats


@dataclass(frozen=True)
class Slice:
    """The rows of one institution; y, company, exposure: (rows,), exposure in money."""

    y: NDArray[np.int8]
    company: NDArray[np.object_]
    exposure: Floats


@dataclass(frozen=True)
class Changes:
    """bad_rate is at the own approval rate, approval_rate at the bad rate that the baseline then has, expected_loss
    for each 1,000 applicants at the own approval rate. Lower is better for bad_rate and expected_loss."""

    auc: Change
    ks: Change
    bad_rate: Change
    approval_rate: Change
    expected_loss: Change


def changes(
    rows: Slice, baseline: Rival, federated: Rival, *, terms: Terms, rng: Generator, draws: int = DRAWS
) -> Changes:
    """Every change between the two models, with 95 % intervals over companies and seeds."""
    table = _seed_tables(baseline, federated, rng=rng, draws=draws)
    real = np.ones((len(rows.y), 1))
    points = _figures(rows, baseline, federated, terms=terms, weights=real, seeds=_even(baseline, federated))
    parts, done = [], 0
    for weights in company_weights(rows.y, rows.company, rng=rng, draws=draws):
        now = slice(done, done + weights.shape[1])
        seeds = (table[0][now], table[1][now])
        parts.append(_figures(rows, baseline, federated, terms=terms, weights=weights, seeds=seeds))
        done = now.stop
    drawn = np.concatenate(parts, axis=2)
    return Changes(*(_change(*point[:, 0], drawn=pair) for point, pair in zip(points, drawn, strict=True)))


def auc_change(rows: Slice, baseline: Rival, federated: Rival, *, rng: Generator, draws: int = DRAWS) -> Change:
    """The change in AUC alone, for a group of the institution's rows."""
    table = _seed_tables(baseline, federated, rng=rng, draws=draws)
    stacked = np.vstack([baseline.p, federated.p])
    drawn = np.split(auc_draws(rows.y, stacked, company=rows.company, rng=rng, draws=draws), [len(baseline.p)])
    pair = np.array([over_seeds(figures, weights) for figures, weights in zip(drawn, table, strict=True)])
    means = [float(np.mean([auc(rows.y, one) for one in rival.p])) for rival in (baseline, federated)]
    return _change(*means, drawn=pair)


def _change(baseline: float, federated: float, *, drawn: Floats) -> Change:
    interval = percentile_interval(float(federated - baseline), drawn[1] - drawn[0])
    return Change(float(baseline), float(federated), *interval)


def _seed_tables(baseline: Rival, federated: Rival, *, rng: Generator, draws: int) -> tuple[Floats, Floats]:
    first = seed_weights(len(baseline.seeds), rng=rng, draws=draws)
    if baseline.seeds == federated.seeds:
        return first, first
    return first, seed_weights(len(federated.seeds), rng=rng, draws=draws)


def _even(baseline: Rival, federated: Rival) -> tuple[Floats, Floats]:
    first, second = (np.full((1, len(rival.seeds)), 1 / len(rival.seeds)) for rival in (baseline, federated))
    return first, second


def _figures(
    rows: Slice,
    baseline: Rival,
    federated: Rival,
    *,
    terms: Terms,
    weights: NDArray[np.floating[Any]],
    seeds: tuple[Floats, Floats],
) -> Floats:
    """AUC, KS, bad rate, approval rate and loss (5, baseline and federated, draws), as means over the drawn seeds."""
    lines = [
        [queue(rows.y, one, exposure=rows.exposure, weights=weights) for one in rival.p]
        for rival in (baseline, federated)
    ]

    def both(figure: Callable[[Queue], Floats]) -> list[Floats]:
        return [
            over_seeds(np.array([figure(line) for line in side]), share)
            for side, share in zip(lines, seeds, strict=True)
        ]

    own_bad_rates = [bad_rate_at(line, terms.approval_rate) for line in lines[0]]
    approved = [
        # Each seed of the baseline has its own bad rate, and the federated model is set beside that one.
        over_seeds(
            np.array([approval_at(line, rate) for line, rate in zip(lines[0], own_bad_rates, strict=True)]), seeds[0]
        ),
        over_seeds(np.array([_mean_approval(lines[1], rate, seeds[1]) for rate in own_bad_rates]), seeds[0]),
    ]
    return np.array(
        [
            both(auc_of),
            both(ks_of),
            both(lambda line: bad_rate_at(line, terms.approval_rate)),
            approved,
            both(lambda line: APPLICANTS * terms.lgd * loss_at(line, terms.approval_rate)),
        ]
    )


def _mean_approval(lines: list[Queue], bad_rate: Floats, share: Floats) -> Floats:
    return over_seeds(np.array([approval_at(line, bad_rate) for line in lines]), share)
