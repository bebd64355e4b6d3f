"""Noisy mechanisms of any kind into the epsilon that they spend together, by privacy loss distributions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, NamedTuple

Noise = Literal["gaussian", "laplace"]

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
    from dp_accounting import GaussianDpEvent, LaplaceDpEvent, PoissonSampledDpEvent
    from dp_accounting.pld import PLDAccountant  # a second to import, needed only under privacy

    accountant = PLDAccountant(value_discretization_interval=FINE if _rough(queries, delta) < FINE_UP_TO else COARSE)
    for query in queries:
        event = GaussianDpEvent(query.scale) if query.noise == "gaussian" else LaplaceDpEvent(query.scale)
        if query.sample_rate < 1.0:
            event = PoissonSampledDpEvent(query.sample_rate, event)
        accountant.compose(event, query.times)
    return float(accountant.get_epsilon(delta))


def _rough(queries: tuple[Query, ...], delta: float) -> float:
    """Epsilon to within a factor or so, from the central limit; it chooses the grid only."""
    mu2 = sum(query.times * (query.sample_rate / query.scale) ** 2 for query in queries)
    return mu2 / 2 + math.sqrt(2 * mu2 * math.log(1 / delta))
