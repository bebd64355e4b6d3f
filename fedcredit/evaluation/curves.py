"""Predictions become the few points that a ROC curve and a reliability diagram are drawn from."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedcredit.evaluation.calibration import EVERYBODY, Prevalence
from fedcredit.evaluation.metrics import Floats, has_both_classes, reliability, roc
from fedcredit.evaluation.panel import ALONE, Panel, Scores

STEPS = np.linspace(0, 1, 101)
DIGITS = 5  # a pixel is a thousandth


def curves(panel: Panel, *, prevalence: Prevalence) -> dict[str, list[dict[str, Any]]]:
    """Points on the whole split: `roc` of every variant, `reliability` of those that everybody shares.

    A ROC curve is the mean true positive rate at each false positive rate, over seeds and, for models of one
    institution, over institutions. Reliability is taken after prior shift, over all seeds together.
    """
    found: dict[str, list[dict[str, Any]]] = {"roc": [], "reliability": []}
    if not has_both_classes(panel.y):
        return found
    for variant in panel.variants:
        whole = [scores for scores in panel.of(variant) if np.isfinite(scores.p).all()]
        if not whole or variant.left_out is not None:
            continue
        line = np.mean([_roc(panel, p) for scores in whole for p in scores.p], axis=0)
        found["roc"].append({**variant._asdict(), "false": _few(STEPS), "true": _few(line)})
        if variant.arm not in ALONE:
            predicted, observed = _reliability(panel, whole[0], prevalence)
            found["reliability"].append(
                {**variant._asdict(), "predicted": _few(predicted), "observed": _few(observed)},
            )
    return found


def _roc(panel: Panel, p: Floats) -> Floats:
    false_rate, true_rate = roc(panel.y, p)
    line = np.interp(STEPS, false_rate, true_rate)
    line[0] = 0.0
    return line


def _reliability(panel: Panel, scores: Scores, prevalence: Prevalence) -> tuple[Floats, Floats]:
    p = prevalence.calibrate(scores.p, trained_on=EVERYBODY, scored_on=EVERYBODY)
    predicted, observed, _ = reliability(np.tile(panel.y, len(p)), p.ravel())
    return predicted, observed


def _few(values: Floats) -> list[float]:
    return [round(float(value), DIGITS) for value in values]
