"""A process that is killed while it stores batches has lost none that it acknowledged and doubled none."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fedcredit.data.identifiers import uscc
from fedcredit.data.store import layout
from fedcredit.data.store.duck import DuckStore

ROWS = 500
KILLS = 8


def batch(number: int) -> pa.Table:
    """Rows that all carry the number of their batch; half of their companies are new."""
    known_at = datetime(2025, 6, 30, tzinfo=UTC)
    return pa.table(
        {
            "company": pa.array(uscc(990001, ROWS // 2 * number + np.arange(ROWS))),
            "valid_at": pa.array([date(2025, 6, 30)] * ROWS),
            "known_at": pa.array([known_at] * ROWS, pa.timestamp("us", "UTC")),
            "kwh": np.full(ROWS, float(number)),
            "degree_days": np.arange(ROWS, dtype=float),
            "days_late": np.zeros(ROWS, np.int64),
        }
    )


def ingest_until_killed(path: Path, first: int) -> None:
    """What the victim does: one line on stdout after each batch that `append` has returned for."""
    layout.WAL_MIB = 1  # the log is folded into the file every few dozen batches, so that kills hit that too
    with DuckStore(path) as store:
        for number in count(first):
            store.append("power", batch(number))
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()


@pytest.mark.slow
def test_kill_at_any_moment_loses_and_doubles_nothing(tmp_path: Path) -> None:
    path, rng = tmp_path / "hub.duckdb", np.random.default_rng(7)
    acknowledged: set[int] = set()
    for kill in range(KILLS):
        code = f"from tests.data.store.test_crash import *; ingest_until_killed(Path({str(path)!r}), {kill * 10_000})"
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as victim:
            assert victim.stdout is not None
            first = victim.stdout.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                victim.wait(timeout=rng.uniform(0, 1.5))
            victim.kill()
            now = {int(line) for line in (first + victim.stdout.read()).splitlines(keepends=True) if line[-1:] == "\n"}
        acknowledged |= now
        with DuckStore(path) as store:
            stored = contents(store)
            assert acknowledged <= stored
            assert len(stored - acknowledged) <= kill + 1  # a batch that was durable, but whose line came too late
            acknowledged = stored

    with DuckStore(path) as store:
        last = max(acknowledged)
        again = [store.append("power", batch(number)).is_new for number in sorted(acknowledged)]
        assert not any(again)
        assert store.append("power", batch(last + 1)).is_new
        assert contents(store) == acknowledged | {last + 1}


def contents(store: DuckStore) -> set[int]:
    """The batches inside, after checking that each is whole, there once, and of known companies."""
    batches = store.connection.execute(
        "SELECT b.seq, b.rows, count(*), count(DISTINCT degree_days), min(kwh), max(kwh), count(c.code)"
        " FROM batches b JOIN raw.power p USING (seq) LEFT JOIN companies c ON c.code = p.firm GROUP BY ALL"
    ).fetchall()
    for _, *sizes, low, high, known in batches:
        assert {*sizes, known} == {ROWS}
        assert low == high
    numbers = [int(low) for *_, low, _, _ in batches]
    assert len(set(numbers)) == len(numbers) == store.seq
    codes = store.connection.execute("SELECT count(*), count(DISTINCT code), count(DISTINCT company) FROM companies")
    assert len(set(codes.fetchall()[0])) == 1
    return set(numbers)
