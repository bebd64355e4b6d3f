"""Noisy mechanisms of any kind into the epsilon that they spend together, by privacy loss distributions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal, NamedTuple

Noise = Literal["gaussian", "laplace", "discrete_laplace"]

# Width of the grid of privacy losses, rounded upwards; wide totals take a wider one, which only adds to epsilon.
FINE, COARSE = 1e-4, 1e-3
FINE_UP_TO = 20.0  # epsilon


class Query(NamedTuple):
    """`times` equal queries: scale of the noise over the sensitivity, and the chance of a company to be in one."""

    noise: Noise
    scale: float
    sample_rate: float
    times: int


def merged(queries: Iterable[Query]) -> tuple[Query, ...]:
    """Equal queries added up, in a fixed order: composition does not depend on theirs.

    >>> merged([Query("gaussian", 2.0, 0.5, 3), Query("gaussian", 2.0, 0.5, 4)])
    (Query(noise='gaussian', scale=2.0, sample_rate=0.5, times=7),)
    """
    counts: Counter[tuple[Noise, float, float]] = Counter()
    for query in queries:
        counts[query.noise, query.scale, query.sample_rate] += query.times
    return tuple(Query(*key, count) for key, count in sorted(counts.items()) if count)


def pld_epsilon(queries: Iterable[Query], *, delta: float) -> float:
    """Epsilon of all queries together at `delta`, rounded upwards (Google's dp-accounting; Doroshenko et al. 2022).

    A query without noise spends infinity.

    >>> round(pld_epsilon([Query("gaussian", 20.0, 1.0, 1)], delta=1e-5), 2)
    0.16
    """
    return _epsilon(merged(queries), delta)


@lru_cache(maxsize=4096)
def _epsilon(queries: tuple[Query, ...], delta: float) -> float:
    if not queries:
        return 0.0
    if any(query.scale == 0.0 for query in queries):
        return math.inf
    grid = FINE if _rough(queries, delta) < FINE_UP_TO else COARSE
    total, *others = (_composed(query, grid) for query in queries)
    for other in others:
        total = total.compose(other)
    return float(total.get_epsilon_for_delta(delta))


@lru_cache(maxsize=256)
def _composed(query: Query, grid: float) -> Any:
    """The privacy loss of all of a query's times together."""
    if query.noise == "gaussian" and query.sample_rate == 1.0:  # n of them are one of less noise, exactly
        return _once(query._replace(scale=query.scale / math.sqrt(query.times), times=1), grid)
    return _once(query._replace(times=1), grid).self_compose(query.times)


@lru_cache(maxsize=256)
def _once(query: Query, grid: float) -> Any:
    """The privacy loss of one query, a company being added or removed; it takes most of the time."""
    from dp_accounting.pld.privacy_loss_distribution import (
        from_discrete_laplace_mechanism,
        from_gaussian_mechanism,
        from_laplace_mechanism,
    )

    if query.noise == "discrete_laplace":
        # Of whole numbers that move by one: every loss is +-epsilon, which no noise of that epsilon exceeds.
        return from_discrete_laplace_mechanism(
            1 / query.scale, value_discretization_interval=grid, sampling_prob=query.sample_rate
        )
    make = from_gaussian_mechanism if query.noise == "gaussian" else from_laplace_mechanism
    return make(query.scale, value_discretization_interval=grid, sampling_prob=query.sample_rate)


def _rough(queries: tuple[Query, ...], delta: float) -> float:
    """Epsilon to within a factor or so, from the central limit; it chooses the grid only."""
    mu2 = sum(query.times * (query.sample_rate / query.scale) ** 2 for query in queries)
    return mu2 / 2 + math.sqrt(2 * mu2 * math.log(1 / delta))
