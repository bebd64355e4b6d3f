"""Two variants at one place become DeLong's paired interval, where each side is a single model."""

from __future__ import annotations

import numpy as np

from fedcredit.evaluation.delong import paired_difference
from fedcredit.evaluation.panel import Panel, Scores, Variant

Ends = tuple[float | None, float | None]


def delong_ends(
    panel: Panel, first: Variant, second: Variant, *, institution: str | None = None, scored_on: str = "all"
) -> Ends:
    """The 95 % interval of AUC(first) - AUC(second), each model's score being the mean over its seeds.

    Of the models of `institution` (None: of everybody), on all rows or on the institution's `own`; a company's rows
    count as one draw. (None, None) where a side is several models: one for each institution, or personal heads.
    """
    sides = [_only_model(panel, variant, institution, scored_on=scored_on) for variant in (first, second)]
    inside = panel.institution == institution if scored_on == "own" else np.ones(len(panel.y), dtype=bool)
    scores = [side.p[:, inside].mean(axis=0) for side in sides if side is not None]
    if len(scores) < 2:
        return None, None
    found = paired_difference(panel.y[inside], *scores, company=panel.company[inside])
    return found.low, found.high


def _only_model(panel: Panel, variant: Variant, institution: str | None, *, scored_on: str) -> Scores | None:
    if scored_on == "own" and institution is not None:
        own = panel.own(variant, institution)
        return None if own is None or own.is_personal else own
    complete = [scores for scores in panel.of(variant) if np.isfinite(scores.p).all()]
    if institution is not None:
        complete = [scores for scores in complete if scores.institution in (None, institution)]
    return complete[0] if len(complete) == 1 and not complete[0].is_personal else None
