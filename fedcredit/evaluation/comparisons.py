"""Predictions become differences between arms, each with its paired interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from fedcredit.evaluation.calibration import EVERYBODY
from fedcredit.evaluation.intervals import DRAWS, percentile_interval
from fedcredit.evaluation.paired import Ends, delong_ends
from fedcredit.evaluation.panel import ALONE, Panel, Variant, read_panel
from fedcredit.evaluation.resampled import Figure, Resampled, baselines, resample

Judge = Literal["whole", "own"]
MEAN = "mean"  # the `institution` of a mean over institutions, each on its own slice
FIELDS = (
    "name",
    "institution",
    "scored_on",
    "split",
    *Variant._fields,
    "other_model",
    "other_epsilon",
    "point",
    "low",
    "high",
    "delong_low",
    "delong_high",
    "n",
    "positives",
    "seeds_n",
    "institutions_n",
    "headline",
)


def comparisons(
    predictions: pd.DataFrame,
    *,
    splits: Sequence[str] = ("test",),
    judge: Judge = "whole",
    outside_mean: Sequence[str] = (),
    draws: int = DRAWS,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Levels and paired differences of AUC, with 95 % intervals over companies and seeds.

    A comparison is keyed by `name` ("federated - mean local", "pooled - federated", "federated - local", "federated",
    "mean local", "distributed - local noise", ...), `institution` ("all": the whole split; "mean": mean over
    institutions, each on its own slice, with institutions drawn too; or a name), `scored_on` (all, own), `split`,
    `model`, `method`, `epsilon` and `noise` of the federated side, `other_epsilon` of the other side and `left_out`
    (None, a name, or "each" for the mean over models that each left their institution out). It carries `point`, `low`,
    `high`, `n`, `positives`, `seeds_n`, `institutions_n`, and `headline`: whether it is what the study is judged by
    (`judge`: one-institution models on the whole split, or on their own slices). Institutions `outside_mean`, such as a
    remainder of small ones, take no part in means over institutions.

    `delong_low` and `delong_high` are the ends of DeLong's paired 95 % interval between two single models on identical
    rows, each model standing for its seeds with the mean of their scores. So they know nothing of the seeds' own
    spread, and with several seeds they need not lie around `point`, which is a difference of mean AUCs. They are None
    for levels, and where either side is a mean of several institutions' models, or personal heads.
    """
    panels = [read_panel(predictions, split) for split in splits]
    asked: dict[str, Any] = {"judge": judge, "outside_mean": outside_mean, "draws": draws, "seed": seed}
    return [one for panel in panels for one in panel_comparisons(panel, **asked)]


def panel_comparisons(
    panel: Panel, *, judge: Judge, outside_mean: Sequence[str], draws: int, seed: int
) -> Iterator[dict[str, Any]]:
    """The comparisons of one split; see `comparisons`."""
    in_mean = [name for name in panel.institutions if name not in outside_mean]
    table = _Table(panel, resample(panel, rng=np.random.default_rng(seed), draws=draws), judge, in_mean)
    yield from table.levels()
    federated = [variant for variant in panel.variants if variant.arm == "federated"]
    for variant in federated:
        if variant.left_out is None:
            yield from table.differences(variant)
    yield from table.left_out(federated)


@dataclass(frozen=True)
class _Table:
    panel: Panel
    drawn: Resampled
    judge: Judge
    in_mean: Sequence[str]

    def levels(self) -> Iterator[dict[str, Any]]:
        """AUC of every variant: on the whole split, and as the mean over own slices."""
        for variant in self.panel.variants:
            if variant.left_out is not None:
                continue
            name = _mean_name(variant)
            if whole := self.drawn.of_everybody(variant):
                yield self._entry(name, whole, variant, institution=EVERYBODY)
            if cells := [cell for (one, k), cell in self.drawn.own.items() if one == variant and k in self.in_mean]:
                mean = self.drawn.mean_at_home(cells)
                yield self._entry(name, mean, variant, institution=MEAN, institutions=len(cells))

    def differences(self, variant: Variant) -> Iterator[dict[str, Any]]:
        """A federated variant against pooled, one-institution arms, itself without noise and with local noise."""
        for other in baselines(self.panel, variant, "pooled"):
            yield from self._both_ways("pooled - federated", other, variant, about=variant, other=other)
        for arm in ALONE:
            for other in baselines(self.panel, variant, arm):
                yield from self._both_ways(f"federated - mean {arm}", variant, other, about=variant, other=other)
                yield from self._each(f"federated - {arm}", variant, other)
        plain = variant._replace(epsilon=None, noise="none")
        if variant.epsilon is not None and plain in self.panel.variants:
            yield from self._both_ways("private - not private", variant, plain, about=variant, other=plain)
        own = variant._replace(noise="local")
        if variant.noise == "distributed" and own in self.panel.variants:
            yield from self._both_ways("distributed - local noise", variant, own, about=variant, other=own)

    def left_out(self, federated: Sequence[Variant]) -> Iterator[dict[str, Any]]:
        """Models that never saw an institution, scored at that institution: each, and the mean over institutions."""
        families = dict.fromkeys(variant._replace(left_out="each") for variant in federated if variant.left_out)
        for family in families:
            at = {
                institution: cell
                for institution in self.in_mean
                if (cell := self.drawn.own.get((family._replace(left_out=institution), institution)))
            }
            if not at:
                continue
            mean = self.drawn.mean_at_home(list(at.values()))
            yield self._entry("federated, left out", mean, family, institution=MEAN, institutions=len(at))
            for other in baselines(self.panel, family, "local"):
                name = "federated, left out - mean local"
                pairs = [(cell, local) for k, cell in at.items() if (local := self.drawn.own.get((other, k)))]
                if pairs:
                    first, second = (self.drawn.mean_at_home(list(side)) for side in zip(*pairs, strict=True))
                    figure = first.minus(second)
                    yield self._entry(name, figure, family, other=other, institution=MEAN, institutions=len(pairs))

    def _both_ways(
        self, name: str, first: Variant, second: Variant, *, about: Variant, other: Variant
    ) -> Iterator[dict[str, Any]]:
        one, two = self.drawn.of_everybody(first), self.drawn.of_everybody(second)
        if one and two:
            delong = delong_ends(self.panel, first, second)
            yield self._entry(name, one.minus(two), about, other=other, institution=EVERYBODY, delong=delong)
        own = self.drawn.own
        both = [k for k in self.in_mean if (first, k) in own and (second, k) in own]
        if both:
            figure = self.drawn.mean_at_home([own[first, k] for k in both]).minus(
                self.drawn.mean_at_home([own[second, k] for k in both])
            )
            yield self._entry(name, figure, about, other=other, institution=MEAN, institutions=len(both))

    def _each(self, name: str, first: Variant, second: Variant) -> Iterator[dict[str, Any]]:
        for institution in self.panel.institutions:
            for scored_on, figure_of in (("all", self.drawn.of_model), ("own", self.drawn.at_home)):
                one, two = figure_of(first, institution), figure_of(second, institution)
                if one and two:
                    at: dict[str, Any] = {"institution": institution, "scored_on": scored_on}
                    delong = delong_ends(self.panel, first, second, **at)
                    yield self._entry(name, one.minus(two), first, other=second, delong=delong, **at)

    def _entry(
        self,
        name: str,
        figure: Figure,
        variant: Variant,
        *,
        institution: str,
        other: Variant | None = None,
        scored_on: str | None = None,
        institutions: int | None = None,
        delong: Ends = (None, None),
    ) -> dict[str, Any]:
        on = scored_on or ("own" if institution == MEAN else "all")
        inside = self.panel.institution == institution if on == "own" and institution != MEAN else slice(None)
        point, low, high = percentile_interval(figure.point, figure.draws)
        seeds = {len(scores.seeds) for one in (variant, other) if one for scores in self._models(one)}
        return {
            "name": name,
            "institution": institution,
            "scored_on": on,
            "split": self.panel.split,
            **variant._asdict(),
            "other_model": other and self._label(other, institution),
            "other_epsilon": other and other.epsilon,
            "point": point,
            "low": low,
            "high": high,
            "delong_low": delong[0],
            "delong_high": delong[1],
            "n": len(self.panel.y[inside]),
            "positives": int(self.panel.y[inside].sum()),
            "seeds_n": max(seeds),
            "institutions_n": institutions,
            "headline": institution == (EVERYBODY if self.judge == "whole" else MEAN),
        }

    def _models(self, variant: Variant) -> list[Any]:
        if variant.left_out != "each":
            return list(self.panel.of(variant))
        return [s for s in self.panel.models if s.variant._replace(left_out="each") == variant]

    def _label(self, variant: Variant, institution: str) -> str:
        """The institution's own model by its name, or the names of all that a mean goes over."""
        models = self.panel.of(variant)
        mine = [scores for scores in models if scores.institution == institution] or models
        return "/".join(sorted({name for scores in mine for name in scores.label.split("/") if name}))


def _mean_name(variant: Variant) -> str:
    return f"mean {variant.arm}" if variant.arm in ALONE else variant.arm
