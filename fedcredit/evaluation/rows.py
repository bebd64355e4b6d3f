"""Predictions become the rows of a report: one for each model, institution and split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcredit.evaluation.calibration import EVERYBODY, Prevalence, rates
from fedcredit.evaluation.delong import auc_interval
from fedcredit.evaluation.metrics import (
    Floats,
    auc,
    average_precision,
    brier,
    ece,
    has_both_classes,
    ks,
    lift_10,
    recalibration,
    stratified_auc,
)
from fedcredit.evaluation.panel import ALONE, ARMS, CHOSEN, Panel, Scores, Variant, read_panel

KEYS = (*Variant._fields, "institution", "scored_on", "split")
SPENT = ("epsilon_spent", "delta")
CALIBRATED = ("brier", "ece", "slope", "intercept")
# Figures that say nothing on a handful of defaults.
WITHHELD = (
    "auc",
    "auc_low",
    "auc_high",
    "auc_seed_sd",
    "auc_stratified",
    "gini",
    "ks",
    "ap",
    "lift_10",
    "slope",
    "intercept",
)
FIELDS = tuple(dict.fromkeys((*KEYS, *SPENT, "n", "positives", "seeds_n", *WITHHELD, *CALIBRATED)))


@dataclass(frozen=True)
class Spent:
    """What training one variant cost one institution in one run; a field that is None stands for any value.

    `model` is no part of the question for arms whose model is chosen by its results (best_alone, incumbent).
    """

    arm: str
    epsilon: float | None
    epsilon_spent: float
    delta: float
    institution: str | None = None
    model: str | None = None
    method: str | None = None
    left_out: str | None = None
    noise: str | None = None

    def covers(self, variant: Variant, institution: str | None) -> bool:
        """Whether this spend belongs to the variant, and to that institution's own model if one is named."""
        model = None if variant.arm in CHOSEN else self.model
        free = (model, variant.model), (self.method, variant.method), (self.noise, variant.noise)
        return (
            (self.arm, self.epsilon, self.left_out) == (variant.arm, variant.epsilon, variant.left_out)
            and all(mine is None or mine == theirs for mine, theirs in free)
            and (institution is None or self.institution in (None, institution))
        )


def rows(
    predictions: pd.DataFrame,
    *,
    spent: Sequence[Spent] = (),
    splits: Sequence[str] = ("test",),
    prevalence: Prevalence | None = None,
) -> list[dict[str, Any]]:
    """Report rows with the keys `FIELDS`; what cannot be told is None.

    A row is keyed by `KEYS`: the variant (arm, model, method, left_out, epsilon, noise), the institution or "all", what
    it is scored on and the split. An institution's own model keeps its own name in `model`.

    Models for everybody are scored on the whole split (`institution` "all") and on each institution's slice (`own`);
    an institution's own model on the whole split and on its own slice. Figures are means over seeds; `auc_low` and
    `auc_high` are a clustered DeLong interval of the seeds' mean over the sampling of companies. Brier, ECE, slope and
    intercept are taken after the prior shift of `prevalence`; target rates that it does not have are counted on the
    validation rows of the predictions, never on the scored split.
    """
    known = with_validation_rates(predictions, prevalence or Prevalence())
    panels = [read_panel(predictions, split) for split in splits]
    return [row for panel in panels for row in panel_rows(panel, spent=spent, prevalence=known)]


def with_validation_rates(predictions: pd.DataFrame, known: Prevalence) -> Prevalence:
    """The rates as given; target rates that are not given are counted on the validation rows, if there are any."""
    if known.target or not (predictions["split"] == "validation").any():
        return known
    validation = read_panel(predictions, "validation")
    return Prevalence(known.train, rates(validation.y, validation.institution))


def panel_rows(panel: Panel, *, spent: Sequence[Spent], prevalence: Prevalence) -> Iterator[dict[str, Any]]:
    """The rows of one split; see `rows`."""
    for scores in sorted(panel.models, key=_order):
        for institution, scored_on, inside in _places(panel, scores):
            yield {
                **scores.variant._asdict(),
                "model": scores.label,
                "institution": institution,
                "scored_on": scored_on,
                "split": panel.split,
                **_charged(scores, spent),
                **judged(panel, scores, inside=inside, scored_on=scored_on, prevalence=prevalence),
            }


def _order(scores: Scores) -> tuple[object, ...]:
    variant = scores.variant
    return (
        ARMS.index(variant.arm) if variant.arm in ARMS else len(ARMS),
        variant.model,
        variant.method,
        variant.left_out or "",
        np.inf if variant.epsilon is None else variant.epsilon,
        variant.noise,
        scores.institution or "",
    )


def _places(panel: Panel, scores: Scores) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    scored: NDArray[np.bool_] = np.asarray(np.isfinite(scores.p).all(axis=0))
    if scored.all():
        yield scores.institution or EVERYBODY, "all", scored
    for name in panel.institutions if scores.institution is None else [scores.institution]:
        inside = panel.institution == name
        if inside.any() and scored[inside].all():
            yield name, "own", inside


def _charged(scores: Scores, spent: Sequence[Spent]) -> dict[str, float | None]:
    mine = [one for one in spent if one.covers(scores.variant, scores.institution)]
    return {
        "epsilon_spent": max((one.epsilon_spent for one in mine), default=None),
        "delta": max((one.delta for one in mine), default=None),
    }


def judged(
    panel: Panel, scores: Scores, *, inside: NDArray[np.bool_], scored_on: str, prevalence: Prevalence
) -> dict[str, Any]:
    """The figures of one report row, on the rows `inside`."""
    y, p = panel.y[inside], scores.p[:, inside]
    place = EVERYBODY if scored_on == "all" else str(panel.institution[inside][0])
    figures: dict[str, Any] = {"n": len(y), "positives": int(y.sum()), "seeds_n": len(scores.seeds)}
    figures |= calibrated_figures(y, p, scores=scores, place=place, prevalence=prevalence)
    if not has_both_classes(y):
        return figures | dict.fromkeys(WITHHELD)
    each = np.array([auc(y, one) for one in p])
    interval = auc_interval(y, p, company=panel.company[inside])
    strata = panel.about["stratum"].to_numpy()[inside] if "stratum" in panel.about else None
    return figures | {
        "auc": interval.point,
        "auc_low": interval.low,
        "auc_high": interval.high,
        "auc_seed_sd": float(each.std(ddof=1)) if len(each) > 1 else None,
        "auc_stratified": None if strata is None else _told(np.mean([stratified_auc(y, one, strata) for one in p])),
        "gini": 2 * interval.point - 1,
        "ks": _told(np.mean([ks(y, one) for one in p])),
        "ap": _told(np.mean([average_precision(y, one) for one in p])),
        "lift_10": _told(np.mean([lift_10(y, one) for one in p])),
    }


def calibrated_figures(
    y: NDArray[np.int8], p: Floats, *, scores: Scores, place: str, prevalence: Prevalence
) -> dict[str, float | None]:
    """Brier, ECE, slope and intercept after prior shift; None for scores that are no probabilities.

    An incumbent's scores are taken as they come: what they were fitted on is not known.
    """
    if p.min() < 0 or p.max() > 1:
        return dict.fromkeys(CALIBRATED)
    if scores.variant.arm != "incumbent":
        learnt_from = scores.institution if scores.variant.arm in ALONE and scores.institution else EVERYBODY
        p = prevalence.calibrate(p, trained_on=learnt_from, scored_on=place)
    each = [(brier(y, one), ece(y, one), *recalibration(y, one)) for one in p]
    return dict(zip(CALIBRATED, (_told(figure) for figure in np.mean(each, axis=0)), strict=True))


def _told(figure: float | np.floating[Any]) -> float | None:
    return float(figure) if np.isfinite(figure) else None
