"""Settings become companies: who they are, where, how large, since when, and which banks they use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.identifiers import uscc
from fedcredit.data.world import Codes, Floats, generator
from fedcredit.data.worlds.sections import FACTORS
from fedcredit.data.worlds.settings import DIVISION, HISTORY, WorldSettings
from fedcredit.data.worlds.world import World

INDUSTRY_SHARES = (0.06, 0.20, 0.10, 0.24, 0.07, 0.10, 0.08, 0.15)  # of world.INDUSTRIES, assumption
OLDEST_MONTHS = 300
MEAN_AGE_MONTHS = 84  # assumption
MOST_SELECTIVE_YEARS = 8.0  # moving parts of a factor blur what survival says of the fixed ones
SELECTIONS = 3
NO_BANK = -1


@dataclass(frozen=True)
class Firms:
    """N companies in the order of their region; `founded` counts months from the start of the history."""

    region: Codes
    industry: Codes
    size: Codes
    founded: NDArray[np.int32]
    solvency: Floats
    own: Floats  # (9, N)
    hidden: Floats
    log_sales: Floats
    bank: Codes
    second_bank: Codes

    def __len__(self) -> int:
        return len(self.region)

    def slice_of(self, region: int) -> slice:
        """Where the companies of a region stand."""
        first, end = np.searchsorted(self.region, [region, region + 1])
        return slice(int(first), int(end))


def found(rng: np.random.Generator, settings: WorldSettings, world: World, *, companies: int) -> Firms:
    """Draw companies; most are older than the observed months, some are founded within them."""
    region = np.repeat(np.arange(settings.regions, dtype=np.int16), region_sizes(settings, world, companies))
    n = companies
    shares = np.array([world.population.micro_share, world.population.small_share])
    size = np.searchsorted(np.cumsum(shares), rng.random(n)).astype(np.int16)
    medians = np.log(
        [world.population.sales_micro_cny, world.population.sales_small_cny, world.population.sales_medium_cny]
    ).astype(np.float32)
    is_born = rng.random(n) < world.population.birth_share
    age = np.minimum(rng.exponential(MEAN_AGE_MONTHS, n), OLDEST_MONTHS).astype(np.int32)
    born = HISTORY + rng.integers(settings.months, size=n, dtype=np.int32)
    bank = _banks(rng, settings, region)
    second = (bank + 1 + rng.integers(max(settings.banks - 1, 1), size=n)) % settings.banks
    has_second = (rng.random(n) < world.population.second_bank_share) & (settings.banks > 1)
    traits = _survivors(rng, np.where(is_born, 0, age), world=world)
    return Firms(
        region=region,
        industry=rng.choice(len(INDUSTRY_SHARES), size=n, p=INDUSTRY_SHARES).astype(np.int16),
        size=size,
        founded=np.where(is_born, born, HISTORY - 1 - age).astype(np.int32),
        solvency=traits[0],
        hidden=traits[1],
        own=traits[2:],
        log_sales=medians[size] + np.float32(world.population.sales_spread) * rng.standard_normal(n, dtype=np.float32),
        bank=bank,
        second_bank=np.where(has_second, second, NO_BANK).astype(np.int16),
    )


def _survivors(rng: np.random.Generator, age_months: NDArray[np.int32], *, world: World) -> Floats:
    """(11, N): solvency, hidden part, nine own means, of companies that have reached their age with them.

    Without this, the weak would all be there in the first month, and defaults would thin out as they go.
    """
    weight = np.array([world.weights[factor] for factor in FACTORS], dtype=np.float32)
    years = np.minimum(age_months / 12, MOST_SELECTIVE_YEARS)
    traits = rng.standard_normal((2 + len(FACTORS), len(age_months)), dtype=np.float32)
    for _ in range(SELECTIONS):
        level = world.states.common * weight.sum() * traits[0] + world.states.own * (weight @ traits[2:])
        relative = np.exp(world.hazard.hidden * traits[1] - world.hazard.levels * level)
        dead = rng.random(len(years)) > np.exp(-world.population.default_rate * years * relative / relative.mean())
        traits[:, dead] = rng.standard_normal((len(traits), int(dead.sum())), dtype=np.float32)
    traits -= traits.mean(axis=1, keepdims=True)  # so that a margin's centre is near its median
    return traits


def codes(firms: Firms) -> NDArray[np.str_]:
    """Social credit codes with right check digits, in divisions that no real place has.

    >>> from fedcredit.data.worlds.world import read_world
    >>> settings = WorldSettings(companies=2, regions=1)
    >>> codes(found(generator(1), settings, read_world("default"), companies=2)).tolist()
    ['91990001000000000K', '91990001000000019G']
    """
    starts = np.searchsorted(firms.region, np.arange(firms.region.max(initial=0) + 1))
    serial = np.arange(len(firms)) - starts[firms.region]
    return uscc(DIVISION + 1 + firms.region.astype(np.int64), serial)


def region_sizes(settings: WorldSettings, world: World, companies: int) -> NDArray[np.int64]:
    """Companies of each region; the shares are the same for every number of companies, and may leave a region empty."""
    rng = generator(settings.seed, 2)
    weight = np.exp(world.population.region_spread * rng.standard_normal(settings.regions))
    edges = np.round(np.cumsum(weight / weight.sum()) * companies).astype(np.int64)
    return np.diff(edges, prepend=0)


def _banks(rng: np.random.Generator, settings: WorldSettings, region: Codes) -> Codes:
    """The main bank: a few large ones everywhere, and tastes that differ by region."""
    weight = np.arange(1, settings.banks + 1, dtype=np.float64) ** -0.8
    taste = np.exp(0.8 * rng.standard_normal((settings.regions, settings.banks)))
    cumulated = np.cumsum(weight * taste, axis=1)
    cumulated /= cumulated[:, -1:]
    drawn = rng.random(len(region))
    bank = np.zeros(len(region), dtype=np.int16)
    for number in range(settings.banks - 1):
        bank += drawn > cumulated[region, number]
    return bank
