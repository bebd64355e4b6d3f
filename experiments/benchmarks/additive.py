"""Counts of five banks, summed, become every test's figures beside those of all rows in one place: how far they differ.

$ python -m experiments.benchmarks.additive
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np

from fedcredit.credit.scale import MASTER
from fedcredit.data.economy import EconomySettings, generate
from fedcredit.data.features import make_windows
from fedcredit.data.splits import hash_of
from fedcredit.data.windows import Windows
from fedcredit.errors import RunError
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
from fedcredit.evaluation.separation import separation
from fedcredit.evaluation.stability import csi, indicator_counts, score_stability
from fedcredit.evaluation.vintages import vintage_counts, vintage_curve

EDGES = (-1.0, 0.0, 1.0)
GRADES = len(MASTER.grades)


def figures() -> dict[str, float]:
    """The largest difference in any number of any test; the rows are synthetic, the score is their old scorecard's."""
    rows = make_windows(generate(EconomySettings(seed=1, companies=4000, months=12, institutions=5)), length=12)
    parts = [_counted(rows.of(name)) for name in rows.institutions]
    federated = {name: pooled(part[name] for part in parts) for name in parts[0]}
    ours, central = _numbers(_tests(federated)), _numbers(_tests(_counted(rows)))
    if [name for name, _ in ours] != [name for name, _ in central]:
        raise RunError("tests", found="other figures of the sum than of all rows", expected="the same")
    gaps = [abs(a - b) for (_, a), (_, b) in zip(ours, central, strict=True) if not (math.isnan(a) and math.isnan(b))]
    return {"federated_pooled_max_diff": max(gaps), "federated_pooled_numbers": len(gaps)}


def _counted(rows: Windows) -> dict[str, Any]:
    """All that an institution sends: whole numbers."""
    p, y = rows.about["incumbent"].to_numpy(np.float64), rows.y
    size, split = rows.about["size"].to_numpy(str), rows.split
    found: dict[str, Any] = {"score": GRID.count(p, y)}
    found |= {f"size {name}": GRID.count(p[size == name], y[size == name]) for name in ("micro", "small", "medium")}
    for name in ("train", "test"):
        at = split == name
        found |= {
            f"split {name}": GRID.count(p[at], y[at]),
            f"indicator {name}": indicator_counts(rows.x[at, -1, 0], EDGES),
        }
    grade = MASTER.place(p)
    found["migration"] = migration_counts(grade, np.clip(grade + rows.y.astype(int), 0, GRADES - 1), grades=GRADES)
    found["overrides"] = override_counts(grade, np.clip(grade - 1, 0, None), y, grades=GRADES)
    found["vintage"] = vintage_counts(1 + (12 * hash_of(rows.company, salt="age")).astype(int), y, ages=12)
    return found


def _tests(counts: Mapping[str, Any]) -> dict[str, Any]:
    grades = GradeCounts.from_grid(counts["score"], MASTER.bounds, pd=MASTER.pds.tolist())
    sizes = {name.removeprefix("size "): value for name, value in counts.items() if name.startswith("size ")}
    return {
        "separation": separation(counts["score"]),
        "agreement": agreement(counts["score"]),
        "reliability": reliability_of_counts(counts["score"]),
        "backtest": backtest(grades),
        "hosmer-lemeshow": hosmer_lemeshow(grades),
        "spiegelhalter": spiegelhalter(counts["score"]),
        "ordering": ordering(grades),
        "concentration": concentration(grades.companies),
        "fairness": fairness(sizes, by="size", cutoff=0.08),
        "score stability": score_stability(counts["split train"], counts["split test"]),
        "indicator stability": csi({"x": counts["indicator train"]}, {"x": counts["indicator test"]}),
        "migration": migration(counts["migration"]),
        "overrides": overrides(counts["overrides"], MASTER.pds.tolist()),
        "vintage": vintage_curve("all", counts["vintage"]),
    }


def _numbers(found: Any, name: str = "") -> list[tuple[str, float]]:
    """Every number of a result with its name, in order."""
    if is_dataclass(found) and not isinstance(found, type):
        return _numbers(asdict(found), name)
    if isinstance(found, Mapping):
        return [leaf for key, value in found.items() for leaf in _numbers(value, f"{name}.{key}")]
    if isinstance(found, list | tuple | np.ndarray):
        return [leaf for place, value in enumerate(found) for leaf in _numbers(value, f"{name}[{place}]")]
    if isinstance(found, bool | int | float | np.number):
        return [(name, float(found))]
    return []


if __name__ == "__main__":
    sys.stdout.write(json.dumps(figures()) + "\n")
