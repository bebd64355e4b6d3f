"""Settings of a synthetic economy become its companies' hidden states and their true hazard of default.

Nothing here is estimated from real companies: weights and persistences are chosen, so that a model finds something.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fedcredit.data.indicators import FACTOR_SIZES
from fedcredit.errors import ConfigError

Floats = NDArray[np.float32]
Codes = NDArray[np.int16]

FACTORS = tuple(FACTOR_SIZES)
INDUSTRIES = (
    "agriculture",
    "manufacturing",
    "construction",
    "wholesale",
    "transport",
    "catering",
    "software",
    "services",
)
SIZES = ("micro", "small", "medium")
SIZE_SHARES = (0.60, 0.32, 0.08)

# How much a factor's level lowers the hazard; every weight is positive, since a factor is oriented to good credit.
LEVEL_WEIGHTS = dict(zip(FACTORS, (0.33, 0.20, 0.35, 0.28, 0.11, 0.15, 0.04, 0.28, 0.08), strict=True))
# A company has a momentum of its cash and one of its activity; these factors move along with them.
MOMENTUM_OF = {"F-A": 0, "F-C": 0, "F-B": 0, "O-A": 1, "O-C": 1, "O-B": 1}
MOMENTUM_MONTHS = 6.0  # time scale of a slide: after 12 months 86 % of it has happened
PERSISTENCE = 0.85  # monthly AR(1) of a factor around the company's own mean
MOST_HAZARD = 1 - 1e-9  # keeps logarithms of survival finite
PILOT_COMPANIES = 20_000  # the intercept is solved on a pilot population of this size


@dataclass(frozen=True)
class EconomySettings:
    """What a synthetic economy is drawn from; equal settings give equal bytes.

    `companies` are alive in the last of `months`; `default_rate` is the expected share of them that defaults in the
    following `horizon_months`. `strength` scales everything that moves the hazard (0: a null world in which nothing
    can be predicted); `levels`, `trends`, `interactions` and `hidden` scale its parts, `hidden` being what no
    indicator shows. `noise` scales the indicators' own movements, `incumbent_noise` the error of the old scorecard.
    """

    seed: int = 1
    companies: int = 6000
    months: int = 12
    regions: int = 28
    institutions: int = 5
    horizon_months: int = 12
    default_rate: float = 0.07
    strength: float = 1.0
    levels: float = 1.0
    trends: float = 1.0
    interactions: float = 1.0
    hidden: float = 1.0
    noise: float = 1.0
    incumbent_noise: float = 1.0
    missing_share: float = 0.04
    short_history_share: float = 0.1

    def __post_init__(self) -> None:
        counts = ("months", "regions", "institutions", "horizon_months")
        strengths = ("strength", "levels", "trends", "interactions", "hidden", "noise", "incumbent_noise")
        for names, least, most in (
            (("seed",), 0, 2**63),
            (("companies",), 1, 10**8),
            (counts, 1, 999),
            (strengths, 0, 1000),
            (("default_rate",), 1e-6, 0.3),
            (("missing_share",), 0, 0.5),
            (("short_history_share",), 0, 1),
        ):
            for name in names:
                if not least <= getattr(self, name) <= most:
                    raise ConfigError(f"economy.{name}", found=str(getattr(self, name)), expected=f"{least}..{most}")


@dataclass(frozen=True)
class Nation:
    """What all companies share: regional and industrial cycles, the banks' sizes and tastes, the hazard's intercept."""

    cycles: Floats  # (regions + industries, months)
    bank_size: Floats  # (institutions,) log weight
    bank_taste: Floats  # (institutions, regions + industries + sizes): log odds of banking there
    bank_tilt: Floats  # (institutions,): how much an institution attracts solvent companies
    intercept: float = 0.0


@dataclass(frozen=True)
class Firms:
    """n companies: who they are, and their hidden months."""

    region: Codes
    industry: Codes
    size: Codes
    institution: Codes
    factors: Floats  # (n, 9, months), about unit variance, high = good credit
    risk: Floats  # (n, months): logit of the monthly hazard, without strength and intercept

    def put(self, rows: NDArray[np.bool_], others: Firms) -> None:
        """Overwrite the companies of `rows` by others, in place."""
        for f in fields(self):
            getattr(self, f.name)[rows] = getattr(others, f.name)


def generator(seed: int, *stream: int) -> np.random.Generator:
    """A random stream of its own for each part, so that one part can be drawn without the others."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=stream)))


def ar1(rng: np.random.Generator, shape: tuple[int, ...], *, persistence: float) -> Floats:
    """A stationary AR(1) of unit variance along the last axis.

    >>> ar1(generator(1), (2, 3), persistence=0.9).shape
    (2, 3)
    """
    path = rng.standard_normal((shape[-1], *shape[:-1]), dtype=np.float32)
    fresh = np.float32(math.sqrt(1 - persistence**2))
    for month in range(1, shape[-1]):
        path[month] = np.float32(persistence) * path[month - 1] + fresh * path[month]
    return np.moveaxis(path, 0, -1)


def found_nation(settings: EconomySettings) -> Nation:
    """The shared part of the economy, with the intercept solved so that `default_rate` is met in expectation."""
    rng = generator(settings.seed, 0)
    groups = settings.regions + len(INDUSTRIES)
    nation = Nation(
        cycles=ar1(rng, (groups, settings.months), persistence=0.95),
        bank_size=np.float32(-0.8) * np.log(np.arange(1, settings.institutions + 1, dtype=np.float32)),
        bank_taste=np.float32(0.5)
        * rng.standard_normal((settings.institutions, groups + len(SIZES)), dtype=np.float32),
        bank_tilt=0.5 * rng.uniform(-1, 1, settings.institutions).astype(np.float32),
    )
    shares = np.asarray(region_sizes(settings)) / settings.companies
    region = rng.choice(settings.regions, size=PILOT_COMPANIES, p=shares).astype(np.int16)
    pilot = _draw(rng, region, settings=settings, nation=nation)
    return replace(nation, intercept=_intercept(pilot.risk, settings))


def survivors(settings: EconomySettings, nation: Nation, *, region: int, companies: int) -> Firms:
    """The companies of one region that have not defaulted before the last month, drawn until there are enough."""
    rng = generator(settings.seed, 1, region)
    regions = np.full(companies, region, dtype=np.int16)
    firms = _draw(rng, regions, settings=settings, nation=nation)
    gone = _defaulted(rng, firms, settings=settings, nation=nation)
    while gone.any():
        others = _draw(rng, regions[: gone.sum()], settings=settings, nation=nation)
        firms.put(gone, others)
        gone[gone] = _defaulted(rng, others, settings=settings, nation=nation)
    return firms


def region_sizes(settings: EconomySettings) -> list[int]:
    """Companies of each region; they add up to `companies`, and a small economy may leave a region empty."""
    rng = generator(settings.seed, 2)
    weight = np.exp(0.5 * rng.standard_normal(settings.regions))
    return [int(n) for n in rng.multinomial(settings.companies, weight / weight.sum())]


def hazard(firms: Firms, settings: EconomySettings, nation: Nation) -> NDArray[np.float64]:
    """True monthly probability of default, (n, months)."""
    return _hazard(firms.risk, strength=settings.strength, intercept=nation.intercept)


def _hazard(risk: Floats, *, strength: float, intercept: float) -> NDArray[np.float64]:
    return np.asarray(np.minimum(expit(intercept + strength * risk.astype(np.float64)), MOST_HAZARD))


def pd_over(monthly: NDArray[np.float64], months: int) -> NDArray[np.float64]:
    """Probability of at least one default when the monthly hazard stays what it is.

    >>> pd_over(np.array([0.0, 0.5]), 2)
    array([0.  , 0.75])
    """
    return np.asarray(-np.expm1(months * np.log1p(-monthly)))


def _defaulted(
    rng: np.random.Generator, firms: Firms, *, settings: EconomySettings, nation: Nation
) -> NDArray[np.bool_]:
    history = hazard(firms, settings, nation)[:, :-1]
    return np.asarray((rng.random(history.shape) < history).any(axis=1))


def _draw(rng: np.random.Generator, region: Codes, *, settings: EconomySettings, nation: Nation) -> Firms:
    n = len(region)
    industry = rng.integers(len(INDUSTRIES), size=n, dtype=np.int16)
    size = rng.choice(len(SIZES), size=n, p=SIZE_SHARES).astype(np.int16)
    solvency = rng.standard_normal(n, dtype=np.float32)
    momentum = rng.standard_normal((n, 2), dtype=np.float32)
    factors = _factors(
        rng, settings, nation, solvency=solvency, momentum=momentum, groups=(region, settings.regions + industry)
    )
    taste = nation.bank_taste[:, [region, settings.regions + industry, settings.regions + len(INDUSTRIES) + size]].sum(
        axis=1
    )
    attraction = nation.bank_size[:, None] + taste + nation.bank_tilt[:, None] * solvency
    institution = (attraction + rng.gumbel(size=attraction.shape)).argmax(axis=0).astype(np.int16)
    hidden = rng.standard_normal((n, 1), dtype=np.float32)
    return Firms(region, industry, size, institution, factors, _risk(factors, momentum, hidden, settings=settings))


def _factors(
    rng: np.random.Generator,
    settings: EconomySettings,
    nation: Nation,
    *,
    solvency: Floats,
    momentum: Floats,
    groups: tuple[Codes, Codes],
) -> Floats:
    n, months = len(solvency), settings.months
    own_mean = rng.standard_normal((n, len(FACTORS), 1), dtype=np.float32)
    factors = 0.55 * ar1(rng, (n, len(FACTORS), months), persistence=PERSISTENCE)
    factors += 0.6 * solvency[:, None, None] + 0.5 * own_mean
    factors += 0.2 * (nation.cycles[groups[0]] + nation.cycles[groups[1]])[:, None, :]
    # The slide ends at zero in the last month: the level then says nothing of it, only the months before do.
    slide = np.expm1((np.arange(months, dtype=np.float32) - (months - 1)) / MOMENTUM_MONTHS)
    for factor, which in MOMENTUM_OF.items():
        factors[:, FACTORS.index(factor), :] += 0.8 * momentum[:, which, None] * slide
    return np.asarray(factors, dtype=np.float32)


def _risk(factors: Floats, momentum: Floats, hidden: Floats, *, settings: EconomySettings) -> Floats:
    """Levels, slides, and two things that are not linear: thin cash under debt, and a slide from a low level."""
    level = sum((w * factors[:, k, :] for k, w in enumerate(LEVEL_WEIGHTS.values())), start=np.float32(0))
    slide = (0.6 * momentum[:, 0] + 0.4 * momentum[:, 1])[:, None]
    weak_solvency = np.maximum(-factors[:, FACTORS.index("F-A"), :], 0)
    weak_cash = np.maximum(-factors[:, FACTORS.index("F-C"), :], 0)
    together = 0.3 * weak_solvency * weak_cash + 0.3 * np.maximum(-momentum[:, :1], 0) * weak_cash
    risk = (
        -settings.levels * level
        - settings.trends * slide
        + settings.interactions * together
        + settings.hidden * 0.5 * hidden
    )
    return np.asarray(risk, dtype=np.float32)


def _intercept(risk: Floats, settings: EconomySettings) -> float:
    """Bisect for the intercept: mean PD of the pilot's last month, each company weighted by its chance to be there."""
    low, high = -40.0, 10.0
    for _ in range(40):
        middle = (low + high) / 2
        monthly = _hazard(risk, strength=settings.strength, intercept=middle)
        alive = np.exp(np.log1p(-monthly[:, :-1]).sum(axis=1)) + np.finfo(np.float64).tiny
        rate = np.average(pd_over(monthly[:, -1], settings.horizon_months), weights=alive)
        low, high = (middle, high) if rate < settings.default_rate else (low, middle)
    return (low + high) / 2
