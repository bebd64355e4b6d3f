"""A model's scores on the judged split become the figures that evidence names."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import beta

from fedcredit.evaluation.approval import Queue, bad_rate_at, ks_of, queue
from fedcredit.evaluation.delong import auc_interval
from fedcredit.evaluation.intervals import DRAWS, company_weights, percentile_interval
from fedcredit.evaluation.metrics import Floats, brier, ece, has_both_classes, ks, recalibration
from server.validation.evidence import Figure, figure, unknown
from server.validation.source import Scores

TOO_FEW = "fewer than 10 companies of a class on the judged split"
SLOPE_DRAWS = 500  # each is a logistic regression


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
    exact = _queue(scores, np.ones((len(scores), 1)))
    bad_rate = percentile_interval(float(bad_rate_at(exact, approval_rate)[0]), drawn.bad_rate)
    distance = percentile_interval(ks(scores.y, scores.p), drawn.ks)
    return {
        "auc": figure(*auc, about="DeLong's interval, a company's rows counted as one"),
        "gini": figure(*(2 * end - 1 for end in auc), about="2 AUC - 1"),
        "ks": figure(*distance, about="Kolmogorov-Smirnov distance; bootstrap over companies"),
        "bad_rate_at_approval": figure(*bad_rate, about=about),
    }


def calibration(scores: Scores, *, seed: int = 0) -> dict[str, Figure]:
    """ECE, Brier skill, observed over expected defaults and the calibration slope, of what the bundle gives out."""
    y, p = scores.y.astype(np.float64), scores.p
    base = brier(y, np.full(len(y), y.mean()))
    skill = 1 - brier(y, p) / base if base > 0 else float("nan")
    return {
        "ece": figure(ece(y, p), about="expected calibration error, 10 bins of equal mass"),
        "brier_skill": figure(skill, about="1 - Brier / Brier of the split's own default rate, which no model knows"),
        "observed_expected": observed_expected(scores),
        "slope": _slope(scores, seed=seed),
    }


def observed_expected(scores: Scores) -> Figure:
    """Defaults that came over the sum of the PDs, with the Jeffreys interval of the observed rate.

    """
    bads, n, expected = float(scores.y.sum()), len(scores), float(scores.p.sum())
    low, high = beta.ppf([0.025, 0.975], bads + 0.5, n - bads + 0.5) * n / expected
    about = "observed defaults / sum of the PDs; Jeffreys interval of the observed rate, rows taken as independent"
    return figure(bads / expected, float(low), float(high), about=about)


def _slope(scores: Scores, *, seed: int) -> Figure:
    about = "slope of the outcome's log-odds on the PD's (Cox 1958); below 1: too extreme; bootstrap over companies"
    if not has_both_classes(scores.y):
        return unknown(TOO_FEW)
    point = recalibration(scores.y, scores.p).slope
    found = []
    rng = np.random.default_rng(seed)
    for weights in company_weights(scores.y, scores.company, rng=rng, draws=SLOPE_DRAWS):
        for column in weights.T:
            rows = np.repeat(np.arange(len(scores)), column.astype(np.intp))
            found.append(recalibration(scores.y[rows], scores.p[rows]).slope)
    return figure(*percentile_interval(point, found), about=about)


def _drawn(scores: Scores, *, approval_rate: float, draws: int, seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    lines = [_queue(scores, weights) for weights in company_weights(scores.y, scores.company, rng=rng, draws=draws)]
    return Drawn(
        np.concatenate([ks_of(line) for line in lines]),
        np.concatenate([bad_rate_at(line, approval_rate) for line in lines]),
    )


def _queue(scores: Scores, weights: Floats) -> Queue:
    return queue(scores.y, scores.p, exposure=np.ones(len(scores)), weights=weights)
