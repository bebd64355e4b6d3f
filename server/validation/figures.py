"""A model's scores on the judged split become the figures that evidence names."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fedcredit.evaluation.agreement import agreement
from fedcredit.evaluation.approval import Queue, bad_rate_at, ks_of, queue
from fedcredit.evaluation.delong import auc_interval
from fedcredit.evaluation.grid import GRID
from fedcredit.evaluation.intervals import DRAWS, company_weights, percentile_interval
from fedcredit.evaluation.metrics import Floats, has_both_classes, ks
from fedcredit.evaluation.proportions import jeffreys
from server.validation.evidence import Figure, figure, unknown
from server.validation.source import Scores

TOO_FEW = "fewer than 10 companies of a class on the judged split"
ON_GRID = "from counts on the public score grid, rows taken as independent"


class Drawn(NamedTuple):
    """Figures under drawn companies: KS and the bad rate among the approved (draws,)."""

    ks: Floats
    bad_rate: Floats


def separation(scores: Scores, *, approval_rate: float, draws: int = DRAWS, seed: int = 0) -> dict[str, Figure]:
    """AUC, Gini, KS and the bad rate at a fixed approval rate."""
    about = f"bad rate among the safest {approval_rate:.0%} of the companies; bootstrap over companies"
    if not has_both_classes(scores.y):
        return dict.fromkeys(("auc", "gini", "ks", "bad_rate_at_approval"), unknown(TOO_FEW))
    auc = auc_interval(scores.y, scores.p[None], company=scores.company)
    drawn = _drawn(scores, approval_rate=approval_rate, draws=draws, seed=seed)
    exact = unit_queue(scores, np.ones((len(scores), 1)))
    bad_rate = percentile_interval(float(bad_rate_at(exact, approval_rate)[0]), drawn.bad_rate)
    distance = percentile_interval(ks(scores.y, scores.p), drawn.ks)
    return {
        "auc": figure(*auc, about="DeLong's interval, a company's rows counted as one"),
        "gini": figure(*(2 * end - 1 for end in auc), about="2 AUC - 1"),
        "ks": figure(*distance, about="Kolmogorov-Smirnov distance; bootstrap over companies"),
        "bad_rate_at_approval": figure(*bad_rate, about=about),
    }


def calibration(scores: Scores) -> dict[str, Figure]:
    """ECE, Brier skill, observed over expected defaults and the calibration slope, of what the bundle gives out.

    They come from counts on the score grid, so that a deployed study's masked counts give the same figures.
    """
    found = agreement(GRID.count(scores.p, scores.y)) if has_both_classes(scores.y) else None
    if found is None:
        return dict.fromkeys(("ece", "brier_skill", "observed_expected", "slope"), unknown(TOO_FEW))
    slope = "slope of the outcome's log-odds on the PD's (Cox 1958), Wald's interval; above 1: the PDs are too flat"
    return {
        "ece": figure(found.ece, about=f"expected calibration error, 10 bins of equal mass, {ON_GRID}"),
        "brier_skill": figure(found.brier_skill, about=f"1 - Brier / that of the split's own default rate, {ON_GRID}"),
        "observed_expected": figure(
            *found.observed_expected, about=f"defaults / sum of the PDs, Jeffreys' interval, {ON_GRID}"
        ),
        "slope": figure(*found.slope, about=f"{slope}, {ON_GRID}") if found.slope else unknown("no finite slope"),
    }


def observed_expected(scores: Scores) -> Figure:
    """Defaults that came over the sum of the PDs, of a group; with Jeffreys' interval of the observed rate."""
    per_row = len(scores) / float(scores.p.sum())
    ends = (end * per_row for end in jeffreys(float(scores.y.sum()), len(scores)))
    return figure(*ends, about="defaults / sum of the PDs, Jeffreys' interval")


def unit_queue(scores: Scores, weights: Floats) -> Queue:
    """The rows from the safest on, every loan counting as one."""
    return queue(scores.y, scores.p, exposure=np.ones(len(scores)), weights=weights)


def _drawn(scores: Scores, *, approval_rate: float, draws: int, seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    weights = company_weights(scores.y, scores.company, rng=rng, draws=draws)
    lines = [unit_queue(scores, each.astype(np.float64)) for each in weights]
    return Drawn(
        np.concatenate([ks_of(line) for line in lines]),
        np.concatenate([bad_rate_at(line, approval_rate) for line in lines]),
    )
