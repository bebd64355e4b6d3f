"""The event store becomes two figures: rows a second by durable batches, and seconds for a window of 72 hours."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa

from fedcredit.data.identifiers import uscc
from fedcredit.data.store.duck import DuckStore

REPEATS = 5
ROWS = 10_000  # a batch
COMPANIES = 120_000
EVENTS = 10_000_000
END = datetime(2025, 12, 31)
DAYS = 30  # over which the window's events became known


def measure(folder: Path) -> dict[str, Any]:
    """Both figures; medians of five."""
    codes = uscc(990_001, np.arange(COMPANIES))
    rates = [rows_per_s(folder / f"{number}.duckdb", codes, seed=number) for number in range(REPEATS)]
    return {"duckdb_rows_per_s": round(median(rates)), "window_query_s": round(window_s(folder / "w.duckdb", codes), 3)}


def readings(codes: np.ndarray[Any, Any], rows: int, *, seed: int) -> pa.Table:
    """Meter readings of random companies that became known over some days, in the order in which they did."""
    rng = np.random.default_rng(seed)
    known = np.sort(rng.integers(0, DAYS * 86_400, rows))
    return pa.table(
        {
            "company": pa.array(codes[rng.integers(0, len(codes), rows)].tolist()),
            "valid_at": pa.array(np.full(rows, np.datetime64("2025-11-30"))),
            "known_at": pa.array(np.datetime64(END - timedelta(days=DAYS), "us") + known.astype("timedelta64[s]")),
            "kwh": pa.array(rng.lognormal(8, 1, rows)),
            "degree_days": pa.array(np.full(rows, 120.0)),
            "days_late": pa.array(np.zeros(rows, dtype=np.int64)),
        }
    )


def rows_per_s(path: Path, codes: np.ndarray[Any, Any], *, seed: int) -> float:
    """A million rows in batches of 10,000, each hashed, numbered and committed before the next, checkpoints included.

    The store holds 360,000 rows before, so that of 120,000 companies one in twenty is new.
    """
    batches = [readings(codes, ROWS, seed=seed * 1000 + number) for number in range(100)]
    with DuckStore(path) as store:
        store.append("power", readings(codes, len(codes) * 3, seed=seed))
        began = time.perf_counter()
        for batch in batches:
            store.append("power", batch)
        seconds = time.perf_counter() - began
        is_again = any(store.append("power", batch).is_new for batch in batches[:3])
    if is_again:
        raise AssertionError("a batch was stored twice")
    return ROWS * len(batches) / seconds


def window_s(path: Path, codes: np.ndarray[Any, Any]) -> float:
    """Count, sum and last by company over 72 hours, of ten million events; median of five."""
    seconds = []
    with DuckStore(path) as store:
        for part in range(EVENTS // 1_000_000):
            store.append("power", readings(codes, 1_000_000, seed=part))
        for _ in range(REPEATS):
            began = time.perf_counter()
            store.window("power", "kwh", after=END - timedelta(hours=72), until=END)
            seconds.append(time.perf_counter() - began)
    return median(seconds)
