"""Companies become a supply graph: who sells to whom, from which month to which, and with what weight.

Degrees are heavy-tailed on both sides, as in the production network of Japan (Fujiwara, Aoyama 2010); most partners are
of the same region.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.world import Floats
from fedcredit.data.worlds.population import Firms
from fedcredit.data.worlds.sections import FACTORS
from fedcredit.data.worlds.settings import HISTORY, WorldSettings
from fedcredit.data.worlds.world import World

LARGER_CLASS_HAS_MORE = 0.45  # log partners per size class
MOST_PARTNERS = 80
MOST_RENEWAL = 2.5  # times the mean rate of new partners


@dataclass(frozen=True)
class Edges:
    """Relations ordered by seller; months are observed months, `since` may lie before them, `until` is the last."""

    seller: NDArray[np.int32]
    buyer: NDArray[np.int32]
    since: NDArray[np.int32]
    until: NDArray[np.int32]
    weight: Floats

    def __len__(self) -> int:
        return len(self.seller)

    def of_sellers(self, firms: slice) -> slice:
        """Where the relations of a run of sellers stand."""
        first, end = np.searchsorted(self.seller, [firms.start, firms.stop])
        return slice(int(first), int(end))


def connect(rng: np.random.Generator, firms: Firms, path: Floats, *, settings: WorldSettings, world: World) -> Edges:
    """Draw the graph: relations that exist at the start, and new ones while the trading factor invites them."""
    w, n = world.graph, len(firms)
    if n < 2:
        none = np.zeros(0, dtype=np.int32)
        return Edges(none, none, none, none, np.zeros(0, dtype=np.float32))
    breadth = path[HISTORY:, FACTORS.index("O-B")].mean(axis=0)
    log_degree = np.log(w.partners) + LARGER_CLASS_HAS_MORE * (firms.size - 0.48) + 0.3 * breadth
    degree = np.exp(log_degree + w.partners_spread * rng.standard_normal(n, dtype=np.float32))
    degree = np.clip(degree, 1, MOST_PARTNERS)

    old = np.repeat(np.arange(n, dtype=np.int32), np.round(degree).astype(np.int64))
    rate = w.renewal / 6 * degree
    new = np.repeat(np.arange(n, dtype=np.int32), rng.poisson(MOST_RENEWAL * rate * settings.months))
    month = rng.integers(settings.months, size=len(new), dtype=np.int32)
    appeal = np.exp(0.5 * path[HISTORY + month, FACTORS.index("O-A"), new])
    keep = rng.random(len(new)) * MOST_RENEWAL < appeal
    seller = np.concatenate([old, new[keep]])
    lasts = rng.exponential(6 / w.renewal, len(seller)).astype(np.int32)
    since = np.concatenate([np.full(len(old), -HISTORY, dtype=np.int32), month[keep]])
    until = np.maximum(since, 0) + lasts
    edges = Edges(
        seller=seller,
        buyer=_buyers(rng, firms, seller, world=world),
        since=since,
        until=until.astype(np.int32),
        weight=np.exp(0.9 * rng.standard_normal(len(seller), dtype=np.float32)),
    )
    return _once(edges, firms, settings=settings)


def _buyers(rng: np.random.Generator, firms: Firms, seller: NDArray[np.int32], *, world: World) -> NDArray[np.int32]:
    """The better match of two candidates for some sellers, a candidate like any other for the rest."""
    w = world.graph
    pull = 0.6 * (firms.log_sales - firms.log_sales.mean())
    pull += np.float32(w.attraction_spread) * rng.standard_normal(len(firms), dtype=np.float32)
    heavy = np.cumsum(np.exp(pull.astype(np.float64)))
    one, other = (_candidates(rng, firms, seller, heavy=heavy, regional_share=w.regional_share) for _ in range(2))
    liking = firms.solvency[seller]
    is_nearer = np.abs(firms.solvency[other] - liking) < np.abs(firms.solvency[one] - liking)
    picks = rng.random(len(seller)) < w.assortativity
    return np.asarray(np.where(is_nearer & picks, other, one), dtype=np.int32)


def _candidates(
    rng: np.random.Generator,
    firms: Firms,
    seller: NDArray[np.int32],
    *,
    heavy: NDArray[np.float64],
    regional_share: float,
) -> NDArray[np.int32]:
    starts = np.searchsorted(firms.region, np.arange(firms.region.max() + 2))
    edge = np.concatenate([[0.0], heavy])
    is_regional = rng.random(len(seller)) < regional_share
    region = firms.region[seller]
    low = np.where(is_regional, edge[starts[region]], 0.0)
    high = np.where(is_regional, edge[starts[region + 1]], edge[-1])
    drawn = low + rng.random(len(seller)) * (high - low)
    found = np.searchsorted(heavy, drawn, side="right")
    return np.asarray(np.minimum(found, len(firms) - 1), dtype=np.int32)


def _once(edges: Edges, firms: Firms, *, settings: WorldSettings) -> Edges:
    """Without sales to oneself, one relation a pair, none before both are founded, in order of the seller."""
    since = np.maximum(edges.since, np.maximum(firms.founded[edges.seller], firms.founded[edges.buyer]) - HISTORY)
    until = np.maximum(edges.until, since)
    order = np.lexsort((since, edges.buyer, edges.seller))
    seller, buyer = edges.seller[order], edges.buyer[order]
    is_first = np.ones(len(order), dtype=np.bool_)
    is_first[1:] = (seller[1:] != seller[:-1]) | (buyer[1:] != buyer[:-1])
    keep = order[is_first & (seller != buyer) & (since[order] < settings.months)]
    return Edges(edges.seller[keep], edges.buyer[keep], since[keep], until[keep], edges.weight[keep])
