"""What both stores promise: batches once, corrections told apart, and the same windows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fedcredit.data.identifiers import uscc
from fedcredit.data.store.duck import DuckStore
from fedcredit.data.store.influx import InfluxStore
from fedcredit.data.store.store import EventStore

NOON = datetime(2025, 6, 30, 12, tzinfo=UTC)
LONG_AGO = NOON - timedelta(days=3650)
A, B, C = uscc(990001, [1, 2, 3]).tolist()


def bank(*rows: tuple[str, str, date, float, float | None]) -> pa.Table:
    """Rows of the bank table: company, bank, valid_at, hours before noon that it became known, on_time_share."""
    company, name, valid_at, hours, share = zip(*rows, strict=True)
    money = ("inflow_cny", "outflow_cny", "balance_cny", "loan_cny", "interest_cny")
    columns: dict[str, Any] = {
        "company": list(company),
        "valid_at": list(valid_at),
        "known_at": pa.array([NOON - timedelta(hours=ago) for ago in hours], pa.timestamp("us", "UTC")),
        "bank": list(name),
        **{amount: [1.0] * len(rows) for amount in money},
        "on_time_share": pa.array(share, pa.float64()),
        "days_past_due": [0] * len(rows),
    }
    return pa.table(columns)


MAY, JUNE = date(2025, 5, 31), date(2025, 6, 30)


def test_a_batch_is_taken_once_however_often_it_is_sent(either: EventStore) -> None:
    rows = bank((A, "one", JUNE, 1, 0.5), (B, "one", JUNE, 1, 0.25))
    first, again = either.append("bank", rows), either.append("bank", rows)
    other = either.append("bank", rows.slice(1), batch="another name")
    assert [(r.seq, r.rows, r.is_new) for r in (first, again, other)] == [(1, 2, True), (1, 2, False), (2, 1, True)]
    window = either.window("bank", "on_time_share", after=LONG_AGO, until=NOON)
    assert window["count"].to_pylist() == [1, 1]


def test_a_window_takes_of_each_fact_the_version_known_last(either: EventStore) -> None:
    either.append("bank", bank((A, "one", JUNE, 5, 0.5), (A, "two", JUNE, 5, 0.25), (A, "one", MAY, 4, 0.125)))
    either.append("bank", bank((A, "one", JUNE, 1, 0.75), (B, "one", JUNE, 1, None), (C, "one", JUNE, 1, 1.0)))
    either.append("bank", bank((C, "one", JUNE, 0, None), (C, "one", MAY, 0, 0.25)))
    assert either.window("bank", "on_time_share", after=LONG_AGO, until=NOON).to_pylist() == [
        {"company": A, "count": 3, "sum": 1.125, "last": 0.75},
        {"company": C, "count": 1, "sum": 0.25, "last": 0.25},  # June was corrected to an empty cell
    ]


def test_a_window_looks_at_what_became_known_between_its_ends(either: EventStore) -> None:
    hours = (73, 72, 71, 1, 0, -1)
    either.append("bank", bank(*((A, f"bank {i}", JUNE, ago, 1.0) for i, ago in enumerate(hours))))
    window = either.window("bank", "days_past_due", after=NOON - timedelta(hours=72), until=NOON)
    assert window.to_pylist() == [{"company": A, "count": 3, "sum": 0.0, "last": 0.0}]


def test_a_window_of_one_company_is_its_row_of_all(either: EventStore) -> None:
    either.append("bank", bank((A, "one", JUNE, 1, 0.5), (B, "one", JUNE, 1, 0.25)))
    for company in (A, B, C):
        one = either.window("bank", "on_time_share", after=LONG_AGO, until=NOON, company=company).to_pylist()
        every = either.window("bank", "on_time_share", after=LONG_AGO, until=NOON).to_pylist()
        assert one == [row for row in every if row["company"] == company]


def test_a_window_of_an_empty_store_is_empty(either: EventStore) -> None:
    window = either.window("tax", "revenue_cny", after=LONG_AGO, until=NOON)
    assert (window.num_rows, window.column_names) == (0, ["company", "count", "sum", "last"])


def test_both_stores_tell_the_same_windows_of_random_histories(tmp_path: Path, influx: InfluxStore) -> None:
    rng = np.random.default_rng(5)
    codes, days = uscc(990001, np.arange(20)), [date(2025, month, 28) for month in range(1, 7)]
    with DuckStore(tmp_path / "hub.duckdb") as duck:
        for _ in range(4):
            picks = [(rng.integers(20), rng.integers(3), rng.integers(6), rng.integers(100)) for _ in range(300)]
            facts = {(codes[c], f"bank {b}", days[d], float(ago)) for c, b, d, ago in picks}
            rows = bank(*((*fact, int(rng.integers(64)) / 64) for fact in sorted(facts)))
            for store in (duck, influx):
                store.append("bank", rows)
        for hours in (6, 24, 72):
            windows = [
                store.window("bank", "on_time_share", after=NOON - timedelta(hours=hours), until=NOON)
                for store in (duck, influx)
            ]
            assert windows[0].num_rows
            assert windows[0].equals(windows[1])


def test_a_column_that_is_empty_throughout_is_stored_as_such(either: EventStore) -> None:
    either.append("bank", bank((A, "one", JUNE, 1, None), (B, "one", JUNE, 1, None)))
    assert either.window("bank", "on_time_share", after=LONG_AGO, until=NOON).num_rows == 0
    assert either.window("bank", "loan_cny", after=LONG_AGO, until=NOON)["sum"].to_pylist() == [1.0, 1.0]
