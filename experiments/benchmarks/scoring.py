"""120,000 synthetic companies become companies a second, scored and explained with a factor model.

python -m experiments.benchmarks.scoring --json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from fedcredit.credit.sentences import reasons_of
from fedcredit.data.economy import EconomySettings, generate
from fedcredit.data.features import make_windows
from fedcredit.data.schema import Table
from fedcredit.explain import explain
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.bundle import BATCH, Bundle, score
from fedcredit.models.train import LocalSettings, evaluate, fit

COMPANIES, MONTHS = 120_000, 12
SETTINGS = ModelSettings("nine_factor", hidden=16)
# Not for its AUC: so that grades and reasons spread as those of a trained model.
TAUGHT = LocalSettings("adam", lr=5e-3, batch_size=64, epochs=10)
TEACHERS = 3_000
RUNS = 3
THREADS = 1  # of torch: with two, each waits for the other wherever the machine has anything else to do


def figures(*, companies: int = COMPANIES, runs: int = RUNS) -> dict[str, float]:
    """Companies a second from windows and from a checked table, and seconds for reasons; medians of `runs`.

    batch_per_s: probabilities of windows that are in memory. table_per_s: from 12 rows a company to probabilities,
    coverage and version. reasons_120k_s: from the table to sentences, the first three with what would change the
    grade. *_cpu_s are seconds of this process for the same, which other load hardly moves; load is the one-minute
    average as it was when each figure began.
    """
    torch.set_num_threads(THREADS)
    bundle = taught()
    table = generate(EconomySettings(companies=companies, months=MONTHS))
    windows = make_windows(table, length=MONTHS)
    x, model = torch.from_numpy(windows.x), bundle.model()
    batch = timed(lambda: evaluate(model, x, batch_size=BATCH), runs=runs)
    from_table = timed(lambda: score(bundle, table), runs=runs)
    reasons = timed(lambda: told(bundle, table), runs=runs)
    return {
        "companies": companies,
        "batch_per_s": round(companies / batch["wall"]),
        "batch_cpu_s": batch["cpu"],
        "batch_load": batch["load"],
        "table_per_s": round(companies / from_table["wall"]),
        "table_cpu_s": from_table["cpu"],
        "table_load": from_table["load"],
        "reasons_120k_s": round(reasons["wall"] * COMPANIES / companies, 1),
        "reasons_cpu_s": reasons["cpu"],
        "reasons_load": reasons["load"],
    }


def taught() -> Bundle:
    """A factor model of the dictionary's indicators, taught on a small economy."""
    table = generate(EconomySettings(companies=TEACHERS, months=MONTHS, seed=7))
    windows = make_windows(table, length=MONTHS)
    settings = SETTINGS.resolved(windows.features)
    model = build(settings, features=windows.features, time=MONTHS, seed=0)
    y, generator = torch.from_numpy(windows.y), torch.Generator().manual_seed(0)
    fit(model, torch.from_numpy(windows.x), y, settings=TAUGHT, generator=generator)
    return Bundle(
        study="scoring",
        settings=settings,
        time=MONTHS,
        inputs=windows.features,
        schema=table.schema,
        weights=model.state_dict(),
        config_sha256="",
        git_sha="",
        roster=(),
    )


def told(bundle: Bundle, table: Table) -> int:
    """The number of sentences, made and thrown away."""
    found = explain(bundle, table)
    return sum(len(reasons_of(found.reasons, row, language="zh")) for row in range(len(found.reasons)))


def timed(work: Callable[[], object], *, runs: int) -> dict[str, float]:
    """Median seconds by the clock and of this process, and the load as the first run began."""
    load, wall, cpu = os.getloadavg()[0], [], []
    for _ in range(runs):
        began, spent = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - spent)
    return {"wall": median(wall), "cpu": round(median(cpu), 2), "load": round(load, 1)}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--companies", type=int, default=COMPANIES)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--json", action="store_true", help="one JSON object; else one figure a line")
    chosen = parser.parse_args()
    found: dict[str, Any] = figures(companies=chosen.companies, runs=chosen.runs)
    lines = [json.dumps(found)] if chosen.json else [f"{name}  {value}" for name, value in found.items()]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
