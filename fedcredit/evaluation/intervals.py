"""Scores on identical rows become resampled figures, and resampled figures an interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from fedcredit.evaluation.metrics import Floats

LEVEL = 0.95
DRAWS = 2_000  # the ends of a 95 % interval rest on 50 draws each
CHUNK_CELLS, CHUNK_DRAWS = 1_000_000, 128  # weights held at a time: what fits a processor's cache is 5 times faster


class Interval(NamedTuple):
    """A figure and the ends of its interval; NaN where it cannot be told."""

    point: float
    low: float
    high: float

    def rounded(self, digits: int) -> Interval:
        return Interval(round(self.point, digits), round(self.low, digits), round(self.high, digits))


def percentile_interval(point: float, draws: ArrayLike, *, level: float = LEVEL) -> Interval:
    """The middle `level` of the draws around the figure measured on the real rows.

    >>> percentile_interval(0.5, [0.0, 0.25, 0.5, 0.75, 1.0], level=0.5)
    Interval(point=0.5, low=0.25, high=0.75)
    """
    told = np.asarray(draws, dtype=np.float64)
    told = told[np.isfinite(told)]
    if not told.size:
        return Interval(point, float("nan"), float("nan"))
    low, high = np.quantile(told, [(1 - level) / 2, (1 + level) / 2])
    return Interval(point, float(low), float(high))


def company_weights(
    y: ArrayLike, company: ArrayLike, *, rng: Generator, draws: int = DRAWS
) -> Iterator[NDArray[np.float32]]:
    """How often each row is drawn, in chunks of (rows, some draws).

    Companies are drawn with replacement within their class (any default, or none), as many as there are of it, and
    all rows of a company come together. Float32 holds these counts exactly.
    """
    outcome = np.asarray(y).astype(bool)
    who = np.unique(np.asarray(company), return_inverse=True)[1]
    is_bad = np.zeros(int(who.max()) + 1, dtype=bool)
    is_bad[who[outcome]] = True
    width = min(CHUNK_DRAWS, max(8, CHUNK_CELLS // len(outcome)))
    for start in range(0, draws, width):
        size = min(width, draws - start)
        counts = np.empty((len(is_bad), size), dtype=np.float32)
        for members in (np.flatnonzero(is_bad), np.flatnonzero(~is_bad)):
            picks = rng.integers(len(members), size=(size, len(members))) if len(members) else np.empty((size, 0), int)
            cells = picks + np.arange(size)[:, None] * len(members)
            counts[members] = np.bincount(cells.ravel(), minlength=cells.size).reshape(size, -1).T
        yield counts[who]


def auc_draws(y: ArrayLike, scores: ArrayLike, *, company: ArrayLike, rng: Generator, draws: int = DRAWS) -> Floats:
    """AUC of each model (models, draws) under the same drawn companies; scores are (models, rows).

    Each ranking is sorted once. A draw's AUC is then the drawn weight of negatives below each positive (half of those
    level with it), summed over drawn positives and divided by the drawn pairs.
    """
    outcome = np.asarray(y).astype(bool)
    score = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    if outcome.mean() > 0.5:  # the same AUC, with the work on the rarer class
        outcome, score = ~outcome, -score
    ladders = [Ladder.of(row[outcome], among=row[~outcome]) for row in score]
    result = np.empty((len(score), draws))
    done = 0
    for weights in company_weights(y, company, rng=rng, draws=draws):
        positive, negative = weights[outcome], weights[~outcome]
        now = slice(done, done + weights.shape[1])
        for model, ladder in enumerate(ladders):
            result[model, now] = ladder.auc(positive, negative)
        done = now.stop
    return result


class Ladder(NamedTuple):
    """The negatives by score, cut into steps at the positives: each positive's steps below, and below or level."""

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    left: NDArray[np.intp]
    right: NDArray[np.intp]

    @classmethod
    def of(cls, positives: Floats, *, among: Floats) -> Ladder:
        order = np.argsort(among)
        left, right = (np.searchsorted(among[order], positives, side) for side in ("left", "right"))
        cuts = np.unique(np.concatenate([[0], left, right]))
        starts = cuts[cuts < len(among)]
        return cls(order, starts, np.searchsorted(starts, left), np.searchsorted(starts, right))

    def auc(self, positive: NDArray[np.float32], negative: NDArray[np.float32]) -> Floats:
        """AUC in each draw (draws,), from how often each positive and each negative is drawn, (rows, draws)."""
        pairs = positive.sum(axis=0, dtype=np.float64) * negative.sum(axis=0, dtype=np.float64)
        below = np.zeros((len(self.starts) + 1, negative.shape[1]), dtype=np.float32)
        np.cumsum(np.add.reduceat(negative[self.order], self.starts, axis=0), axis=0, out=below[1:])
        won = np.einsum("rd,rd->d", positive, below[self.left] + below[self.right], dtype=np.float64)
        # A draw without a pair, possible where bad companies hold all the rows of a class, tells nothing.
        return np.divide(won / 2, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def seed_weights(seeds: int, *, rng: Generator, draws: int = DRAWS) -> Floats:
    """Share of each seed in each draw (draws, seeds): seeds drawn with replacement."""
    return rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws) / seeds


def over_seeds(figures: Floats, weights: Floats) -> Floats:
    """Mean over seeds in each draw (draws,), from figures (seeds, draws) and `seed_weights` (draws, seeds)."""
    return np.einsum("sd,ds->d", figures, weights)


class Picks(NamedTuple):
    """For each draw (draws, institutions): which institutions were drawn, and which company draw each of them uses."""

    institution: NDArray[np.int64]
    draw: NDArray[np.int64]


def institution_picks(institutions: int, *, rng: Generator, draws: int = DRAWS) -> Picks:
    """A hierarchical bootstrap's draws: institutions with replacement, then companies inside, anew for each one drawn.

    Drawing at both levels makes the interval of a mean over institutions a little wide rather than narrow (Davison
    and Hinkley 1997, section 3.8).
    """
    shape = (draws, institutions)
    return Picks(rng.integers(institutions, size=shape), rng.integers(draws, size=shape))


def hierarchical_mean(figures: Sequence[Floats], *, picks: Picks, weights: Floats) -> Floats:
    """Mean over the drawn institutions and seeds (draws,), from each institution's figures (seeds, draws).

    Paired contrasts come from two calls with the same picks, and the same weights where the seeds are the same.
    """
    drawn = np.stack(figures)[picks.institution, :, picks.draw]
    return np.einsum("dis,ds->d", drawn, weights) / len(figures)
