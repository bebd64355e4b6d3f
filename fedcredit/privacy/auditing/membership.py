"""Shadow models, each trained on a random half of the companies, into how well membership can be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from fedcredit.errors import ConfigError

FEWEST_SHADOWS = 8
# From here on a company's own spread is estimated; with fewer shadows one spread is shared by all (Carlini et al.).
SHADOWS_FOR_OWN_SPREAD = 64
DRAWS = 300
FALSE_POSITIVES = 0.01

# Which companies to train on (n,) -> the model's confidence in each company's true label (n,), in logits.
Train = Callable[[NDArray[np.bool_]], NDArray[np.float64]]


@dataclass(frozen=True)
class Membership:
    """auc .5 is a coin; tpr is the share of members found where 1 % of the others are wrongly named. 95 % intervals
    over companies.
    """

    auc: float
    auc_low: float
    auc_high: float
    tpr: float
    tpr_low: float
    tpr_high: float
    companies: int
    shadows: int


def attack(
    train: Train,
    *,
    companies: int,
    shadows: int,
    rng: np.random.Generator,
    on_shadow: Callable[[], None] = lambda: None,
) -> Membership:
    """LiRA (Carlini et al. 2022), every shadow model in turn the target and the others its reference.

    A company's coin is tossed anew for each shadow; whether it was in is judged by the likelihood ratio of two
    normals, fitted to the confidences of the other shadows that had it and of those that had not.

    Raises:
        ConfigError: fewer than 8 shadows or 20 companies.
    """
    if shadows < FEWEST_SHADOWS or companies < 20:
        raise ConfigError(
            "membership attack",
            found=f"{shadows} shadows, {companies} companies",
            expected=f"at least {FEWEST_SHADOWS} and 20",
        )
    is_in = rng.random((shadows, companies)) < 0.5
    confidence = np.empty((shadows, companies))
    for number in range(shadows):
        confidence[number] = train(is_in[number])
        on_shadow()
    scores = likelihood_ratios(confidence, is_in)
    auc, tpr = _figures(scores, is_in)
    drawn = np.array(
        [_figures(scores[:, pick], is_in[:, pick]) for pick in rng.integers(companies, size=(DRAWS, companies))]
    )
    (auc_low, tpr_low), (auc_high, tpr_high) = np.quantile(drawn, [0.025, 0.975], axis=0)
    return Membership(auc, float(auc_low), float(auc_high), tpr, float(tpr_low), float(tpr_high), companies, shadows)


def likelihood_ratios(confidence: NDArray[np.float64], is_in: NDArray[np.bool_]) -> NDArray[np.float64]:
    """log P(confidence | in) - log P(confidence | out) by shadow and company (s, n), each from the other shadows.

    A company that fewer than two others had, or had not, tells nothing: 0.
    """
    total: dict[bool, tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]] = {}
    for side in (True, False):
        held = is_in == side
        others = held.sum(0) - held
        value = np.where(held, confidence, 0.0)
        mean = (value.sum(0) - value) / np.maximum(others, 1)
        square = (value**2).sum(0) - value**2
        spread = np.maximum(square - others * mean**2, 0.0)
        if len(is_in) < SHADOWS_FOR_OWN_SPREAD:
            spread, freedom = spread.sum(1, keepdims=True), np.maximum(others - 1, 0).sum(1, keepdims=True)
        else:
            freedom = np.maximum(others - 1, 1)
        total[side] = (mean, np.maximum(spread / freedom, 1e-12), others)
    inside, outside = (
        -0.5 * np.log(variance) - (confidence - mean) ** 2 / (2 * variance)
        for mean, variance, _ in (total[True], total[False])
    )
    is_known = (total[True][2] > 1) & (total[False][2] > 1)
    return np.where(is_known, inside - outside, 0.0)


def _figures(scores: NDArray[np.float64], is_in: NDArray[np.bool_]) -> tuple[float, float]:
    """AUC, and the share of members above all but 1 % of the others."""
    flat, member = scores.ravel(), is_in.ravel()
    inside, outside = int(member.sum()), int((~member).sum())
    auc = (rankdata(flat)[member].sum() - inside * (inside + 1) / 2) / (inside * outside)
    threshold = np.quantile(flat[~member], 1.0 - FALSE_POSITIVES)
    return float(auc), float((flat[member] > threshold).mean())
