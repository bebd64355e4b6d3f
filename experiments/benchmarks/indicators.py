"""120,000 companies become the seconds and memory of a full computation and of a refresh of one per cent."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fedcredit.data.hub.ingest import ingest_folder
from fedcredit.data.hub.refresh import refresh
from fedcredit.data.sources import sources
from fedcredit.data.store.duck import DuckStore
from fedcredit.data.worlds.settings import WorldSettings
from fedcredit.data.worlds.write import write

AS_OF = datetime(2025, 12, 28, 23, 59, 59)  # inside a month, so that the day after is a refresh and not a new month
MONTH_BEFORE = datetime(2025, 11, 28, 23, 59, 59)
CHANGED = 0.01
STEPS = ("economy", "history", "full", "refresh")


def measure(folder: Path, *, companies: int) -> dict[str, Any]:
    """Each step in a process of its own, so that its peak memory is its own."""
    found: dict[str, Any] = {}
    for step in STEPS:
        words = [sys.executable, "-m", "experiments.benchmarks.indicators", step, str(folder), str(companies)]
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)  # a fault tells its story on stderr
        found |= json.loads(done.stdout.splitlines()[-1])
    # Of the computation alone: with the month's checks in the denominator the share would look better.
    return {**found, "refresh_share_of_full": round(found["refresh_s"] / found["full_compute_s"], 4)}


def economy(folder: Path, *, companies: int) -> dict[str, float]:
    """Write the raw tables of the economy: 36 months."""
    began = time.perf_counter()
    write(WorldSettings(companies=companies), folder / "economy")
    return {"economy_s": round(time.perf_counter() - began, 1), "economy_gib": peak_gib()}


def history(folder: Path, *, companies: int) -> dict[str, float]:
    """What was known a month before goes into the store as it is; the month's own rows become a folder."""
    (folder / "month").mkdir()
    rows = 0
    began = time.perf_counter()
    with DuckStore(folder / "events.duckdb") as store:
        for one in sources():
            known, fresh = [], []
            file = pq.ParquetFile(folder / "economy" / "raw" / f"{one.table}.parquet")
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                known_at = table["known_at"]
                known.append(table.filter(pc.less_equal(known_at, MONTH_BEFORE)))
                between = pc.and_(pc.greater(known_at, MONTH_BEFORE), pc.less_equal(known_at, AS_OF))
                fresh.append(table.filter(between))
                rows += store.append(one.table, known.pop()).rows
            pq.write_table(pa.concat_tables(fresh), folder / "month" / f"{one.table}.parquet")
    return {"history_rows": rows, "history_s": round(time.perf_counter() - began, 1), "history_gib": peak_gib()}


def full(folder: Path, *, companies: int) -> dict[str, float]:
    """A month of new events is checked and taken in, then every company's indicators are computed and kept."""
    with DuckStore(folder / "events.duckdb") as store:
        began = time.perf_counter()
        report = ingest_folder(folder / "month", store, now=datetime(2100, 1, 1), most_bad=0.01, quarantine=None)
        taken = time.perf_counter()
        done = refresh(store, as_of=AS_OF)
        seconds = time.perf_counter()
        rows = sum(one["rows"] for one in report.as_dict()["sources"])
    return {
        "month_rows": rows,
        "month_ingest_s": round(taken - began, 2),
        "full_compute_s": round(seconds - taken, 2),
        "full_indicators_s": round(seconds - began, 2),
        "full_indicators_gib": peak_gib(),
        "full_companies": done.recomputed,
    }


def refreshed(folder: Path, *, companies: int) -> dict[str, float]:
    """One per cent of the companies get a corrected meter reading and bank row; median of three such refreshes."""
    seconds, touched = [], []
    raw = folder / "economy" / "raw"
    with DuckStore(folder / "events.duckdb") as store:
        for day in range(1, 4):
            at = AS_OF + timedelta(days=1) * day / 2
            for table, column in (("power", "kwh"), ("bank", "balance_cny")):
                latest = pq.read_table(
                    raw / f"{table}.parquet", filters=[("valid_at", "=", datetime(2025, 11, 30).date())]
                )
                some = latest.take(pa.array(range(day, latest.num_rows, 100)))
                place = some.column_names.index("known_at")
                some = some.set_column(place, "known_at", pa.array([at] * len(some), pa.timestamp("us")))
                value = some.column_names.index(column)
                store.append(table, some.set_column(value, column, pc.multiply(some[column], 0.97)))
            began = time.perf_counter()
            touched.append(refresh(store, as_of=at).recomputed)
            seconds.append(time.perf_counter() - began)
    return {"refresh_s": round(sorted(seconds)[1], 3), "refresh_companies": sorted(touched)[1]}


def peak_gib() -> float:
    """Peak resident memory of this process."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


if __name__ == "__main__":
    step, place, number = sys.argv[1:]
    if step == "economy":
        shutil.rmtree(place, ignore_errors=True)
        Path(place).mkdir(parents=True)
    steps = {"economy": economy, "history": history, "full": full, "refresh": refreshed}
    sys.stdout.write(json.dumps(steps[step](Path(place), companies=int(number))) + "\n")
