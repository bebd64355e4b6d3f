"""Companies become nine hidden factors by month: solvency, own means, momentum, cycles; dated shocks stand apart."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fedcredit.data.world import INDUSTRIES, MOMENTUM_OF, Floats, ar1, generator
from fedcredit.data.worlds.population import Firms
from fedcredit.data.worlds.sections import FACTORS
from fedcredit.data.worlds.settings import WorldSettings
from fedcredit.data.worlds.world import World


@dataclass(frozen=True)
class Shock:
    """A blow to a region or an industry; months are observed months, and `start` is when the hazard begins to rise."""

    kind: str
    target: int
    start: int
    lead: int
    duration: int
    size: float


@dataclass(frozen=True)
class Nation:
    """What all companies share."""

    cycles: Floats  # (T, regions + industries)
    shocks: tuple[Shock, ...]


def found_nation(settings: WorldSettings, world: World) -> Nation:
    """Cycles and shocks; they depend on the seed and the world, not on the number of companies."""
    rng = generator(settings.seed, 0)
    groups = settings.regions + len(INDUSTRIES)
    cycles = ar1(rng, (groups, settings.length), persistence=world.states.cycle_persistence).T
    # Cycles are relative to the nation's: a nation's own would move the default rate from seed to seed.
    if settings.regions > 1:
        cycles[:, : settings.regions] -= cycles[:, : settings.regions].mean(axis=1, keepdims=True)
    cycles[:, settings.regions :] -= cycles[:, settings.regions :].mean(axis=1, keepdims=True)
    return Nation(cycles=cycles, shocks=_shocks(generator(settings.seed, 1), settings, world))


def _shocks(rng: np.random.Generator, settings: WorldSettings, world: World) -> tuple[Shock, ...]:
    """At least one if there is room: a precursor, the blow, and a month to see it in."""
    w = world.shocks
    drawn = []
    for _ in range(max(1, round(w.per_year * settings.months / 12))):
        kind = "region" if rng.random() < 0.5 else "industry"
        lead = max(1, round(w.lead_months + rng.integers(-1, 2)))
        target = int(rng.integers(settings.regions if kind == "region" else len(INDUSTRIES)))
        duration = max(2, round(w.duration_months * rng.uniform(0.7, 1.3)))
        size = float(w.size * rng.uniform(0.7, 1.3))
        if settings.months - 1 > lead:
            start = int(rng.integers(lead, settings.months - 1))
            drawn.append(Shock(kind, target, start, lead, duration, size))
    return tuple(sorted(drawn, key=lambda shock: (shock.start, shock.kind, shock.target)))


def exposures(rng: np.random.Generator, firms: Firms, nation: Nation, *, hit_share: float) -> Floats:
    """(shocks, N): how hard each company is hit, 0 for most; about 1 for those hit."""
    hit = np.zeros((len(nation.shocks), len(firms)), dtype=np.float32)
    for row, shock in zip(hit, nation.shocks, strict=True):
        inside = np.flatnonzero((firms.region if shock.kind == "region" else firms.industry) == shock.target)
        chosen = inside[rng.random(len(inside)) < hit_share]
        row[chosen] = rng.uniform(0.6, 1.4, len(chosen))
    return hit


def blow(shock: Shock, months: int) -> Floats:
    """What a shock adds to the logit by observed month, for an exposure of one.

    >>> blow(Shock("region", 0, start=2, lead=1, duration=2, size=1.0), 6).round(2).tolist()
    [0.0, 0.0, 1.0, 1.0, 0.5, 0.25]
    """
    since = np.arange(months) - shock.start
    fading = np.where(since < shock.duration, 1.0, 0.5 ** (since - shock.duration + 1.0))
    return np.asarray(shock.size * np.where(since < 0, 0, fading), dtype=np.float32)


def precursor(shock: Shock, months: int) -> Floats:
    """How much of a shock shows in power, stocks, freight and invoices, 0..1; it rises before the hazard does.

    >>> precursor(Shock("region", 0, start=2, lead=2, duration=2, size=1.0), 6).round(2).tolist()
    [0.5, 1.0, 1.0, 1.0, 0.5, 0.25]
    """
    since = np.arange(months) - (shock.start - shock.lead)
    rising = np.clip((since + 1) / shock.lead, 0, 1)
    over = since - shock.lead - shock.duration
    return np.asarray(np.where(over < 0, rising, 0.5 ** (over + 1.0)), dtype=np.float32)


def factors(rng: np.random.Generator, firms: Firms, nation: Nation, *, settings: WorldSettings, world: World) -> Floats:
    """(T, 9, N), about unit variance, high = good credit; contagion is not yet in it."""
    w = world.states
    n, length = len(firms), settings.length
    path = _paths(rng, (length, len(FACTORS), n), persistence=w.persistence, spread=w.moving)
    momentum = _paths(rng, (length, 2, n), persistence=w.momentum_persistence, spread=w.momentum)
    for factor, which in MOMENTUM_OF.items():
        path[:, FACTORS.index(factor)] += momentum[:, which]
    path += np.float32(w.common) * firms.solvency + np.float32(w.own) * firms.own
    for month in range(length):
        own_cycle = nation.cycles[month, firms.region] + nation.cycles[month, settings.regions + firms.industry]
        path[month] += np.float32(w.cycles) * own_cycle
    return path


def _paths(rng: np.random.Generator, shape: tuple[int, ...], *, persistence: float, spread: float) -> Floats:
    """AR(1) along the first axis, in place: the economy's largest array has one copy only."""
    path = rng.standard_normal(shape, dtype=np.float32)
    path *= np.float32(spread)
    fresh = np.float32(math.sqrt(1 - persistence**2))
    for month in range(1, shape[0]):
        path[month] *= fresh
        path[month] += np.float32(persistence) * path[month - 1]
    return path
