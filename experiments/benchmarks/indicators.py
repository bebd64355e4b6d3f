"""120,000 companies become the seconds and memory of a full computation and of a refresh of one per cent."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from datetime import date, datetime, timedelta
from pathlib import Path
from statistics import median
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
EVERY = 100  # one company in so many changes
REFRESHES = 3  # of each pattern
PATTERNS = {
    "refresh": (("power", "kwh"), ("bank", "balance_cny")),
    "refresh_six_sources": (
        *(("power", "kwh"), ("water", "cubic_metres"), ("bank", "balance_cny"), ("tax", "revenue_cny")),
        *(("social_security", "paid_cny"), ("housing_fund", "paid_cny")),
    ),
    "refresh_invoices": (("invoices", "amount_cny"),),
}
STEPS = ("economy", "history", "full", "refresh")


def measure(folder: Path, *, companies: int) -> dict[str, Any]:
    """Each step in a process of its own, so that its peak memory is its own."""
    found: dict[str, Any] = {}
    for step in STEPS:
        words = [sys.executable, "-m", "experiments.benchmarks.indicators", step, str(folder), str(companies)]
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)  # a fault tells its story on stderr
        found |= json.loads(done.stdout.splitlines()[-1])
    # Of the computation alone: with the month's checks in the denominator the share would look better.
    shares = {f"{name}_share_of_full": round(found[f"{name}_s"] / found["full_compute_s"], 4) for name in PATTERNS}
    return {**found, **shares}


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
    """One company in 100 gets a corrected row in each source of a pattern; medians of three such refreshes."""
    found: dict[str, float] = {}
    at = AS_OF
    with DuckStore(folder / "events.duckdb") as store:
        names = store.connection.sql("SELECT company FROM companies ORDER BY code").to_arrow_table()["company"]
        for pattern, columns in PATTERNS.items():
            seconds, touched = [], []
            for first in range(REFRESHES):
                at += timedelta(hours=4)
                some = names.take(pa.array(range(first, len(names), EVERY)))
                for table, column in columns:
                    store.append(table, corrected(folder / "economy" / "raw" / f"{table}.parquet", column, some, at=at))
                began = time.perf_counter()
                touched.append(refresh(store, as_of=at).recomputed)
                seconds.append(time.perf_counter() - began)
            found |= {f"{pattern}_s": round(median(seconds), 3), f"{pattern}_companies": median(touched)}
    return found


def corrected(path: Path, column: str, companies: pa.ChunkedArray, *, at: datetime) -> pa.Table:
    """The newest rows of these companies that were known at AS_OF, 3 % smaller, known at `at`."""
    rows = pq.read_table(path, filters=[("valid_at", ">", date(2025, 8, 31)), ("known_at", "<=", AS_OF)])
    rows = rows.filter(pc.equal(rows["valid_at"], pc.max(rows["valid_at"])))
    rows = rows.filter(pc.is_in(rows["company"].cast(pa.string()), value_set=companies))
    value, known = rows.column_names.index(column), rows.column_names.index("known_at")
    rows = rows.set_column(value, column, pc.multiply(rows[column], 0.97))
    return rows.set_column(known, "known_at", pa.array([at] * len(rows), pa.timestamp("us")))


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
