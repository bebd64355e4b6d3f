"""However companies are spread over institutions, every figure of the summed counts is the pooled one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.evaluation.agreement import agreement, reliability_of_counts
from fedcredit.evaluation.backtest import backtest
from fedcredit.evaluation.concentration import concentration
from fedcredit.evaluation.fairness import fairness
from fedcredit.evaluation.goodness import hosmer_lemeshow, spiegelhalter
from fedcredit.evaluation.grades import GradeCounts
from fedcredit.evaluation.grid import GRID, pooled
from fedcredit.evaluation.migration import migration, migration_counts
from fedcredit.evaluation.ordering import ordering
from fedcredit.evaluation.overrides import override_counts, overrides
from fedcredit.evaluation.periods import out_of_time
from fedcredit.evaluation.separation import separation
from fedcredit.evaluation.stability import csi, indicator_counts, score_stability
from fedcredit.evaluation.vintages import vintage_counts, vintage_curve

BOUNDS = [0.002, 0.01, 0.03, 0.08, 0.2]
PDS = [0.001, 0.005, 0.02, 0.05, 0.12, 0.3]
EDGES = [-1.0, 0.0, 1.0]
REGIONS, YEARS = ("east", "north", "south"), ("2021", "2022")


@dataclass(frozen=True)
class Companies:
    """What one institution, or all of them, hold."""

    p: np.ndarray
    y: np.ndarray
    region: np.ndarray
    year: np.ndarray
    indicator: np.ndarray
    model_grade: np.ndarray
    final_grade: np.ndarray
    later_grade: np.ndarray
    age: np.ndarray

    def of(self, rows: np.ndarray) -> Companies:
        return Companies(**{name: value[rows] for name, value in vars(self).items()})


def companies(seed: int, n: int) -> Companies:
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-rng.normal(-2.5, 1.5, n)))
    model = np.searchsorted(BOUNDS, p)
    return Companies(
        p=p,
        y=(rng.random(n) < p).astype(int),
        region=rng.choice(REGIONS, n, p=[0.6, 0.37, 0.03]),
        year=rng.choice(YEARS, n),
        indicator=np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
        model_grade=model,
        final_grade=np.clip(model + rng.integers(-2, 3, n), 0, 5),
        later_grade=np.clip(model + rng.integers(-1, 2, n), 0, 5),
        age=rng.integers(1, 12, n),
    )


Counted = Mapping[str, Any]


def counted(here: Companies) -> dict[str, np.ndarray]:
    """All that leaves an institution: whole numbers."""
    found = {"score": GRID.count(here.p, here.y)}
    found |= {f"region {name}": GRID.count(here.p[rows], here.y[rows]) for name, rows in _by(here.region, REGIONS)}
    found |= {f"year {name}": GRID.count(here.p[rows], here.y[rows]) for name, rows in _by(here.year, YEARS)}
    found |= {
        f"indicator {name}": indicator_counts(here.indicator[rows], EDGES) for name, rows in _by(here.year, YEARS)
    }
    found["migration"] = migration_counts(here.model_grade, here.later_grade, grades=6)
    found["overrides"] = override_counts(here.model_grade, here.final_grade, here.y, grades=6)
    found["vintage"] = vintage_counts(here.age, here.y, ages=10)
    return found


def _by(group: np.ndarray, names: tuple[str, ...]) -> list[tuple[str, np.ndarray]]:
    return [(name, group == name) for name in names]


def named(counts: Counted, kind: str) -> dict[str, Any]:
    return {name.removeprefix(f"{kind} "): value for name, value in counts.items() if name.startswith(f"{kind} ")}


FIGURES: dict[str, Callable[[Counted], Any]] = {
    "separation": lambda c: separation(c["score"]),
    "agreement": lambda c: agreement(c["score"]),
    "reliability": lambda c: reliability_of_counts(c["score"]),
    "backtest": lambda c: backtest(GradeCounts.from_grid(c["score"], BOUNDS)),
    "backtest against the scale": lambda c: backtest(GradeCounts.from_grid(c["score"], BOUNDS, pd=PDS)),
    "hosmer-lemeshow": lambda c: hosmer_lemeshow(GradeCounts.from_grid(c["score"], BOUNDS)),
    "spiegelhalter": lambda c: spiegelhalter(c["score"]),
    "ordering": lambda c: ordering(GradeCounts.from_grid(c["score"], BOUNDS)),
    "concentration": lambda c: concentration(GradeCounts.from_grid(c["score"], BOUNDS).companies, before=[1] * 6),
    "fairness": lambda c: fairness(named(c, "region"), by="region", cutoff=0.08),
    "out of time": lambda c: out_of_time(named(c, "year"), cutoff=0.08),
    "score stability": lambda c: score_stability(c["year 2021"], c["year 2022"]),
    "indicator stability": lambda c: csi({"x": c["indicator 2021"]}, {"x": c["indicator 2022"]}),
    "migration": lambda c: migration(c["migration"]),
    "overrides": lambda c: overrides(c["overrides"], PDS),
    "vintage": lambda c: vintage_curve("all", c["vintage"]),
}


def numbers(found: Any) -> list[float | str | None]:
    """Every leaf of a result, in order."""
    if is_dataclass(found) and not isinstance(found, type):
        return numbers(asdict(found))
    if isinstance(found, Mapping):
        return [leaf for key, value in found.items() for leaf in [str(key), *numbers(value)]]
    if isinstance(found, list | tuple | np.ndarray):
        return [leaf for value in found for leaf in numbers(value)]
    return [found if found is None or isinstance(found, str) else float(found)]


def largest_difference(one: Any, other: Any) -> float:
    first, second = numbers(one), numbers(other)
    assert len(first) == len(second)
    worst = 0.0
    for a, b in zip(first, second, strict=True):
        if isinstance(a, float) and isinstance(b, float) and not (np.isnan(a) and np.isnan(b)):
            worst = max(worst, abs(a - b))
        else:
            assert a == b or (isinstance(a, float) and np.isnan(a))
    return worst


@pytest.mark.parametrize("figure", FIGURES)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(60, 900), institutions=st.integers(1, 12), data=st.data())
def test_federated_is_pooled(figure: str, seed: int, n: int, institutions: int, data: st.DataObject) -> None:
    everybody = companies(seed, n)
    # Very uneven shares too: some institutions then hold nobody.
    shares = data.draw(st.lists(st.integers(0, 20), min_size=institutions, max_size=institutions).filter(any))
    where = np.random.default_rng(seed).choice(institutions, n, p=np.array(shares) / sum(shares))
    parts = [counted(everybody.of(np.flatnonzero(where == name))) for name in range(institutions)]
    federated = {name: pooled(part[name] for part in parts) for name in parts[0]}
    compute = FIGURES[figure]
    assert largest_difference(compute(federated), compute(counted(everybody))) <= 1e-9


def test_the_comparison_sees_a_company_that_is_missing() -> None:
    everybody = companies(1, 500)
    all_but_one = counted(everybody.of(np.arange(499)))
    for name in ("agreement", "fairness", "vintage", "migration"):
        assert largest_difference(FIGURES[name](counted(everybody)), FIGURES[name](all_but_one)) > 1e-9
