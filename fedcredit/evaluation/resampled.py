"""A panel of scores becomes the AUC of every model under the same drawn companies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fedcredit.evaluation.intervals import (
    Picks,
    auc_draws,
    hierarchical_mean,
    institution_picks,
    over_seeds,
    seed_weights,
)
from fedcredit.evaluation.metrics import Floats, auc, has_both_classes
from fedcredit.evaluation.panel import Panel, Scores, Variant


class Cell(NamedTuple):
    """AUC of one variant at one place: (seeds,) on the real rows and (seeds, draws) under drawn companies."""

    seeds: tuple[int, ...]
    point: Floats
    draws: Floats


class Figure(NamedTuple):
    """A figure on the real rows and its draws (draws,)."""

    point: float
    draws: Floats

    def minus(self, other: Figure) -> Figure:
        return Figure(self.point - other.point, self.draws - other.draws)


@dataclass(frozen=True)
class Resampled:
    """Every AUC that comparisons need, drawn together so that any two of them can be subtracted.

    whole: by variant and institution (None for a model of everybody), on all rows of the split.
    own: by variant and institution, on that institution's slice.
    `seeds_drawn` gives the weights of the seeds in each draw, one table for each list of seeds: arms that ran with
    the same seeds are paired by seed.
    """

    whole: dict[tuple[Variant, str | None], Cell]
    own: dict[tuple[Variant, str], Cell]
    seeds_drawn: Callable[[tuple[int, ...]], Floats]
    picks: Callable[[int], Picks]

    def of_everybody(self, variant: Variant) -> Figure | None:
        """The variant's AUC on the whole split: the mean over its institutions' models, if it has one for each."""
        figures = [self._seed_mean(cell) for (one, _), cell in self.whole.items() if one == variant]
        if not figures:
            return None
        return Figure(float(np.mean([f.point for f in figures])), np.mean([f.draws for f in figures], axis=0))

    def of_model(self, variant: Variant, institution: str | None) -> Figure | None:
        """On the whole split, the AUC of an institution's own model, or of everybody's."""
        cell = self.whole.get((variant, institution)) or self.whole.get((variant, None))
        return self._seed_mean(cell) if cell else None

    def at_home(self, variant: Variant, institution: str) -> Figure | None:
        """The variant's AUC on one institution's slice."""
        cell = self.own.get((variant, institution))
        return self._seed_mean(cell) if cell else None

    def mean_at_home(self, cells: Sequence[Cell]) -> Figure:
        """Mean over institutions of the AUC on their own slices, with institutions drawn too."""
        weights, picks = self.seeds_drawn(cells[0].seeds), self.picks(len(cells))
        draws = hierarchical_mean([cell.draws for cell in cells], picks=picks, weights=weights)
        return Figure(float(np.mean([cell.point.mean() for cell in cells])), draws)

    def _seed_mean(self, cell: Cell) -> Figure:
        return Figure(float(cell.point.mean()), over_seeds(cell.draws, self.seeds_drawn(cell.seeds)))


def resample(panel: Panel, *, rng: Generator, draws: int) -> Resampled:
    """Draw companies on the whole split and inside each institution, and score every model on each draw.

    Slices with too few of either class have no AUC and are left out of means over institutions.
    """
    everything = np.ones(len(panel.y), dtype=bool)
    complete = [scores for scores in panel.models if np.isfinite(scores.p).all()]
    cells = _cells(panel, complete, inside=everything, rng=rng, draws=draws)
    whole = {(scores.variant, scores.institution): cell for scores, cell in zip(complete, cells, strict=False)}
    own: dict[tuple[Variant, str], Cell] = {}
    for institution in panel.institutions:
        here = [
            scores
            for variant in panel.variants
            if variant.left_out in (None, institution) and (scores := panel.own(variant, institution)) is not None
        ]
        cells = _cells(panel, here, inside=panel.institution == institution, rng=rng, draws=draws)
        own |= {(scores.variant, institution): cell for scores, cell in zip(here, cells, strict=False)}
    seeds = sorted({scores.seeds for scores in panel.models})
    tables = {which: seed_weights(len(which), rng=rng, draws=draws) for which in seeds}
    counts = range(1, len(panel.institutions) + 1)
    drawn = {count: institution_picks(count, rng=rng, draws=draws) for count in counts}
    return Resampled(whole, own, tables.__getitem__, drawn.__getitem__)


def _cells(
    panel: Panel, models: Sequence[Scores], *, inside: NDArray[np.bool_], rng: Generator, draws: int
) -> list[Cell]:
    y = panel.y[inside]
    if not models or not has_both_classes(y):
        return []
    stacked = np.vstack([scores.p[:, inside] for scores in models])
    drawn = auc_draws(y, stacked, company=panel.company[inside], rng=rng, draws=draws)
    points = np.array([auc(y, row) for row in stacked])
    ends = np.cumsum([len(scores.seeds) for scores in models])[:-1]
    parts = zip(models, np.split(points, ends), np.split(drawn, ends), strict=True)
    return [Cell(scores.seeds, point, figures) for scores, point, figures in parts]


def baselines(panel: Panel, variant: Variant, arm: str) -> list[Variant]:
    """The variants of `arm` that a federated variant is set beside.

    Of the same kind of model where there is one; at the same epsilon (and noise) where there is one, and without
    noise, since an institution alone owes nobody any.
    """
    found = [one for one in panel.variants if one.arm == arm and one.left_out is None]
    found = [one for one in found if one.model == variant.model] or found
    alike = [one for one in found if one.epsilon == variant.epsilon]
    alike = [one for one in alike if one.noise == variant.noise] or alike
    plain = [one for one in found if one.epsilon is None]
    return list(dict.fromkeys(alike + plain))
