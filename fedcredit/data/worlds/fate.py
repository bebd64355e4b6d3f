"""Settings become the hidden economy: companies, states, relations, hazard, defaults at the world's rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.world import Floats, generator
from fedcredit.data.worlds.graph import Edges, connect
from fedcredit.data.worlds.hazard import SUFFERS, felt, risk, run
from fedcredit.data.worlds.population import Firms, found
from fedcredit.data.worlds.sections import FACTORS
from fedcredit.data.worlds.settings import HISTORY, WorldSettings
from fedcredit.data.worlds.states import Nation, exposures, factors, found_nation, precursor
from fedcredit.data.worlds.world import World

STAYS = 3  # months that a company is still seen after its default
HORIZON = 12
PILOT_COMPANIES = 8_000
BISECTIONS = 14


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
    """The hidden economy; its intercept is solved so that the world's default rate is met.

    It is met by the economy itself, or where that is small by a pilot population of the same nation.
    """
    world = settings.load()
    nation = found_nation(settings, world)
    one = _begin(settings, world, nation, stream=4, companies=settings.companies)
    is_small = settings.companies < PILOT_COMPANIES
    pilot = _begin(settings, world, nation, stream=3, companies=PILOT_COMPANIES) if is_small else one
    intercept = _intercept(pilot)
    hazard, defaulted, spread = run(one.logit, one.luck, one.firms, one.edges, world=world, intercept=intercept)
    for factor in SUFFERS:
        one.path[HISTORY:, FACTORS.index(factor)] -= np.float32(world.contagion.visible) * spread
    return Economy(
        settings=settings,
        world=world,
        nation=nation,
        firms=one.firms,
        path=one.path,
        edges=one.edges,
        exposure=one.exposure,
        risk=one.logit + np.float32(felt(world)) * spread,
        hazard=hazard,
        defaulted=defaulted,
    )


@dataclass(frozen=True)
class _Beginning:
    """What is drawn before anyone defaults."""

    settings: WorldSettings
    world: World
    firms: Firms
    path: Floats
    edges: Edges
    exposure: Floats
    logit: Floats
    luck: Floats


def _begin(settings: WorldSettings, world: World, nation: Nation, *, stream: int, companies: int) -> _Beginning:
    firms = found(generator(settings.seed, stream, 0), settings, world, companies=companies)
    path = factors(generator(settings.seed, stream, 1), firms, nation, settings=settings, world=world)
    edges = connect(generator(settings.seed, stream, 2), firms, path, settings=settings, world=world)
    hit = exposures(generator(settings.seed, stream, 3), firms, nation, hit_share=world.shocks.hit_share)
    logit = risk(firms, path, nation, hit, world=world)
    luck = generator(settings.seed, stream, 4).random(logit.shape, dtype=np.float32)
    return _Beginning(settings, world, firms, path, edges, hit, logit, luck)


def _intercept(pilot: _Beginning) -> float:
    """Bisect, with the same luck at every try."""
    low, high = -15.0, 3.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        _, defaulted, _ = run(pilot.logit, pilot.luck, pilot.firms, pilot.edges, world=pilot.world, intercept=middle)
        rate = default_rate(pilot.firms.founded - HISTORY, defaulted, months=pilot.settings.months)
        low, high = (middle, high) if rate < pilot.world.population.default_rate else (low, middle)
    return (low + high) / 2


def default_rate(born: NDArray[np.int32], defaulted: NDArray[np.int32], *, months: int) -> float:
    """Of the companies alive at a month, the share that defaults within 12 months.

    Counted over the later half of the months that have 12 after them. Where fewer than 13 months are observed, the
    share of a shorter horizon is scaled to 12 months.

    >>> from fedcredit.data.worlds.hazard import NEVER
    >>> default_rate(np.array([0, 0]), np.array([3, NEVER]), months=14)
    0.5
    """
    horizon = min(HORIZON, months - 1)
    if horizon < 1:
        return 1.0
    alive = fallen = 0
    # The later half is where models are judged; before it, contagion has yet to build up.
    for month in range((months - horizon) // 2, months - horizon):
        here = (born <= month) & (defaulted > month)
        alive += int(here.sum())
        fallen += int((here & (defaulted <= month + horizon)).sum())
    if not alive:
        return 0.0
    return float(1 - (1 - fallen / alive) ** (HORIZON / horizon))
