"""Hidden states become a monthly hazard, and the hazard defaults that spread along the supply graph.

The hazard of month t is the chance that a company that lives at the end of t defaults in t + 1, given all hidden states
of t. It is drawn from nothing that lies after t, so that a perfect reader of month t can know it and no more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fedcredit.data.world import MOMENTUM_OF, Floats
from fedcredit.data.worlds.graph import Edges
from fedcredit.data.worlds.population import Firms
from fedcredit.data.worlds.sections import FACTORS
from fedcredit.data.worlds.settings import HISTORY
from fedcredit.data.worlds.states import Nation, blow
from fedcredit.data.worlds.world import World

NEVER = 10_000  # the default month of a company that does not default
YOUNG = 24  # months
TREND_MONTHS = 6
SUFFERS = ("F-C", "O-A", "O-B")  # factors in which a partner's default shows


def felt(world: World) -> float:
    """What a unit of contagion adds to the logit through the factors in which it shows."""
    shown = world.contagion.visible * sum(world.weights[factor] for factor in SUFFERS)
    return 1 + world.hazard.levels * shown


def risk(firms: Firms, path: Floats, nation: Nation, hit: Floats, *, world: World) -> Floats:
    """Levels, trends, two things that are not linear, youth, what is hidden, shocks: (months, N)."""
    w = world.hazard
    months = len(path) - HISTORY
    weight = np.array([world.weights[factor] for factor in FACTORS], dtype=np.float32)
    logit = np.empty((months, len(firms)), dtype=np.float32)
    cash, solvency = FACTORS.index("F-C"), FACTORS.index("F-A")
    moving = [FACTORS.index(factor) for factor in MOMENTUM_OF]
    young_until = firms.founded - HISTORY + YOUNG
    for month in range(months):
        now, before = path[HISTORY + month], path[HISTORY + month - TREND_MONTHS]
        slide = (now[moving] - before[moving]).mean(axis=0)
        thin = np.maximum(-now[solvency], 0) * np.maximum(-now[cash], 0)
        falling = np.maximum(-slide, 0) * np.maximum(-now[cash], 0)
        logit[month] = (
            -w.levels * (weight @ now)
            - w.trends * slide
            + w.interactions * (0.3 * thin + 0.5 * falling)
            + w.hidden * firms.hidden
            + w.youth * (month < young_until)
        )
    for row, shock in zip(hit, nation.shocks, strict=True):
        touched = np.flatnonzero(row)
        logit[:, touched] += blow(shock, months)[:, None] * row[touched]
    return logit


def run(
    logit: Floats, luck: Floats, firms: Firms, edges: Edges, *, world: World, intercept: float
) -> tuple[Floats, NDArray[np.int32], Floats]:
    """Month by month: hazard, who defaults next month by `luck`, and what that does to the partners."""
    months, n = logit.shape
    w, strength, visible = world.contagion, np.float32(world.hazard.strength), np.float32(felt(world))
    share_of_sales, share_of_purchases = _shares(edges, n)
    hazard, spread = np.empty_like(logit), np.zeros_like(logit)
    defaulted = np.full(n, NEVER, dtype=np.int32)
    born = firms.founded - HISTORY
    for month in range(months):
        hazard[month] = expit(np.float32(intercept) + strength * (logit[month] + visible * spread[month]))
        if month + 1 == months:
            break
        falls = (born <= month) & (defaulted == NEVER) & (luck[month] < hazard[month])
        defaulted[falls] = month + 1
        spread[month + 1] = np.float32(w.decay) * spread[month]
        for partner, company, share, weight in (
            (edges.buyer, edges.seller, share_of_sales, w.seller),
            (edges.seller, edges.buyer, share_of_purchases, w.buyer),
        ):
            hurt = np.flatnonzero(falls[partner])
            hurt = hurt[(edges.since[hurt] <= month + 1) & (edges.until[hurt] >= month + 1)]
            loss = np.bincount(company[hurt], weights=share[hurt], minlength=n)
            spread[month + 1] += np.float32(weight) * loss.astype(np.float32)
    return hazard, defaulted, spread


def _shares(edges: Edges, n: int) -> tuple[Floats, Floats]:
    """Of each relation, its share of the seller's sales and of the buyer's purchases, over all it ever has."""
    sold = np.bincount(edges.seller, weights=edges.weight, minlength=n)
    bought = np.bincount(edges.buyer, weights=edges.weight, minlength=n)
    # A relation lives about a third of the months: at a time, its share is about thrice that over all.
    return (
        np.minimum(3 * edges.weight / sold[edges.seller], 1).astype(np.float32),
        np.minimum(3 * edges.weight / bought[edges.buyer], 1).astype(np.float32),
    )
