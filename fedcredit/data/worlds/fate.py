"""Hidden states become a monthly hazard, and the hazard defaults that spread along the supply graph.

The hazard of month t is the chance that a company that lives at the end of t defaults in t + 1, given all hidden states
of t. It is drawn from nothing that lies after t, so that a perfect reader of month t can know it and no more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fedcredit.data.world import MOMENTUM_OF, Floats, generator
from fedcredit.data.worlds.graph import Edges, connect
from fedcredit.data.worlds.population import Firms, found
from fedcredit.data.worlds.sections import FACTORS
from fedcredit.data.worlds.settings import HISTORY, WorldSettings
from fedcredit.data.worlds.states import Nation, blow, exposures, factors, found_nation, precursor
from fedcredit.data.worlds.world import World

NEVER = 10_000  # the default month of a company that does not default
STAYS = 3  # months that a company is still seen after its default
YOUNG = 24  # months
TREND_MONTHS = 6
SUFFERS = ("F-C", "O-A", "O-B")  # factors in which a partner's default shows
HORIZON = 12
PILOT_COMPANIES = 8_000  # the intercept is solved on a population of this size


@dataclass(frozen=True)
class Economy:
    """Everything hidden: companies, factors with contagion in them, relations, hazard, defaults."""

    settings: WorldSettings
    world: World
    nation: Nation
    firms: Firms
    path: Floats  # (T, 9, N)
    edges: Edges
    exposure: Floats  # (shocks, N)
    risk: Floats  # (months, N): logit without strength and intercept
    hazard: Floats  # (months, N)
    defaulted: NDArray[np.int32]  # observed month of default, or NEVER
    spread: Floats  # (months, N): contagion that was felt

    @property
    def left(self) -> NDArray[np.int32]:
        """First observed month without a trace of the company."""
        return self.defaulted + STAYS + 1

    def alive(self) -> NDArray[np.bool_]:
        """(months, N): founded and not in default at the end of the month."""
        month = np.arange(self.settings.months)[:, None]
        return np.asarray((self.firms.founded - HISTORY <= month) & (month < self.defaulted))

    def foreboding(self, firms: slice) -> Floats:
        """(n, months): how much of coming or present shocks shows, for a run of companies."""
        months = self.settings.months
        shown = np.zeros((firms.stop - firms.start, months), dtype=np.float32)
        for hit, shock in zip(self.exposure[:, firms], self.nation.shocks, strict=True):
            if hit.any():
                shown += hit[:, None] * precursor(shock, months)
        return shown


def simulate(settings: WorldSettings) -> Economy:
    """The hidden economy; its intercept is solved so that the world's default rate is met on a pilot population."""
    world = settings.load()
    nation = found_nation(settings, world)
    intercept = _intercept(settings, world, nation)
    return _live(settings, world, nation, stream=4, companies=settings.companies, intercept=intercept)


def _live(
    settings: WorldSettings, world: World, nation: Nation, *, stream: int, companies: int, intercept: float
) -> Economy:
    firms = found(generator(settings.seed, stream, 0), settings, world, companies=companies)
    path = factors(generator(settings.seed, stream, 1), firms, nation, settings=settings, world=world)
    edges = connect(generator(settings.seed, stream, 2), firms, path, settings=settings, world=world)
    hit = exposures(generator(settings.seed, stream, 3), firms, nation, hit_share=world.shocks.hit_share)
    risk = _risk(firms, path, nation, hit, world=world)
    luck = generator(settings.seed, stream, 4).random(risk.shape, dtype=np.float32)
    hazard, defaulted, spread = _run(risk, luck, firms, edges, world=world, intercept=intercept)
    for factor in SUFFERS:
        path[HISTORY:, FACTORS.index(factor)] -= np.float32(world.contagion.visible) * spread
    risk += spread * np.float32(_felt(world))
    return Economy(settings, world, nation, firms, path, edges, hit, risk, hazard, defaulted, spread)


def _felt(world: World) -> float:
    """What a unit of contagion adds to the logit through the factors in which it shows."""
    shown = world.contagion.visible * sum(world.weights[factor] for factor in SUFFERS)
    return 1 + world.hazard.levels * shown


def _risk(firms: Firms, path: Floats, nation: Nation, hit: Floats, *, world: World) -> Floats:
    """Levels, trends, two things that are not linear, youth, what is hidden, shocks: (months, N)."""
    w = world.hazard
    months = len(path) - HISTORY
    weight = np.array([world.weights[factor] for factor in FACTORS], dtype=np.float32)
    risk = np.empty((months, len(firms)), dtype=np.float32)
    cash, solvency = FACTORS.index("F-C"), FACTORS.index("F-A")
    moving = [FACTORS.index(factor) for factor in MOMENTUM_OF]
    young_until = firms.founded - HISTORY + YOUNG
    for month in range(months):
        now, before = path[HISTORY + month], path[HISTORY + month - TREND_MONTHS]
        slide = (now[moving] - before[moving]).mean(axis=0)
        thin = np.maximum(-now[solvency], 0) * np.maximum(-now[cash], 0)
        falling = np.maximum(-slide, 0) * np.maximum(-now[cash], 0)
        risk[month] = (
            -w.levels * (weight @ now)
            - w.trends * slide
            + w.interactions * (0.3 * thin + 0.5 * falling)
            + w.hidden * firms.hidden
            + w.youth * (month < young_until)
        )
    for row, shock in zip(hit, nation.shocks, strict=True):
        touched = np.flatnonzero(row)
        risk[:, touched] += blow(shock, months)[:, None] * row[touched]
    return risk


def _run(
    risk: Floats, luck: Floats, firms: Firms, edges: Edges, *, world: World, intercept: float
) -> tuple[Floats, NDArray[np.int32], Floats]:
    """Month by month: hazard, who defaults next month by `luck`, and what that does to the partners."""
    months, n = risk.shape
    strength, felt = np.float32(world.hazard.strength), np.float32(_felt(world))
    share_of_sales, share_of_purchases = _shares(edges, n)
    hazard, spread = np.empty_like(risk), np.zeros_like(risk)
    defaulted = np.full(n, NEVER, dtype=np.int32)
    born = firms.founded - HISTORY
    for month in range(months):
        hazard[month] = expit(np.float32(intercept) + strength * (risk[month] + felt * spread[month]))
        if month + 1 == months:
            break
        falls = (born <= month) & (defaulted == NEVER) & (luck[month] < hazard[month])
        defaulted[falls] = month + 1
        spread[month + 1] = np.float32(world.contagion.decay) * spread[month]
        is_live = (edges.since <= month + 1) & (edges.until >= month + 1)
        hurt = is_live & falls[edges.buyer]
        loss = np.bincount(edges.seller[hurt], weights=share_of_sales[hurt], minlength=n)
        spread[month + 1] += np.float32(world.contagion.seller) * loss.astype(np.float32)
        hurt = is_live & falls[edges.seller]
        loss = np.bincount(edges.buyer[hurt], weights=share_of_purchases[hurt], minlength=n)
        spread[month + 1] += np.float32(world.contagion.buyer) * loss.astype(np.float32)
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


def _intercept(settings: WorldSettings, world: World, nation: Nation) -> float:
    """Bisect on a pilot population of its own, with the same luck at every try."""
    companies = PILOT_COMPANIES
    firms = found(generator(settings.seed, 3, 0), settings, world, companies=companies)
    path = factors(generator(settings.seed, 3, 1), firms, nation, settings=settings, world=world)
    edges = connect(generator(settings.seed, 3, 2), firms, path, settings=settings, world=world)
    hit = exposures(generator(settings.seed, 3, 3), firms, nation, hit_share=world.shocks.hit_share)
    risk = _risk(firms, path, nation, hit, world=world)
    luck = generator(settings.seed, 3, 4).random(risk.shape, dtype=np.float32)
    low, high = -15.0, 3.0
    for _ in range(14):
        middle = (low + high) / 2
        _, defaulted, _ = _run(risk, luck, firms, edges, world=world, intercept=middle)
        rate = default_rate(firms.founded - HISTORY, defaulted, months=settings.months)
        low, high = (middle, high) if rate < world.population.default_rate else (low, middle)
    return (low + high) / 2


def default_rate(born: NDArray[np.int32], defaulted: NDArray[np.int32], *, months: int) -> float:
    """Of the companies alive at a month, the share that defaults within 12 months, over all months that allow it.

    Where fewer than 13 months are observed, the share of a shorter horizon is scaled to 12 months.

    >>> default_rate(np.array([0, 0]), np.array([3, NEVER]), months=14)
    0.5
    """
    horizon = min(HORIZON, months - 1)
    if horizon < 1:
        return 1.0
    alive = fallen = 0
    for month in range(months - horizon):
        here = (born <= month) & (defaulted > month)
        alive += int(here.sum())
        fallen += int((here & (defaulted <= month + horizon)).sum())
    if not alive:
        return 0.0
    return float(1 - (1 - fallen / alive) ** (HORIZON / horizon))
