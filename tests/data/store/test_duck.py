"""The DuckDB store keeps whole batches, once, through repeats, corrections, crashes and second owners."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from fedcredit.data.identifiers import uscc
from fedcredit.data.sources import sources
from fedcredit.data.store.duck import DuckStore
from fedcredit.data.store.store import Batch
from fedcredit.errors import TableError

NOON = datetime(2025, 6, 30, 12, tzinfo=UTC)
A, B, C = uscc(990001, [1, 2, 3]).tolist()


def power(*rows: tuple[str, date, datetime, float]) -> pa.Table:
    """Rows of the power table: company, valid_at, known_at, kwh."""
    company, valid_at, known_at, kwh = zip(*rows, strict=True)
    return pa.table(
        {
            "company": list(company),
            "valid_at": list(valid_at),
            "known_at": pa.array(known_at, pa.timestamp("us", "UTC")),
            "kwh": list(kwh),
            "degree_days": [100.0] * len(rows),
            "days_late": [0] * len(rows),
        }
    )


def june(company: str, kwh: float, *, hours_ago: float = 1) -> tuple[str, date, datetime, float]:
    return company, date(2025, 6, 30), NOON - timedelta(hours=hours_ago), kwh


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckStore]:
    with DuckStore(tmp_path / "hub.duckdb") as opened:
        yield opened


def count(store: DuckStore, table: str = "raw.power") -> int:
    found = store.connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    assert found is not None
    return int(found[0])


def test_a_new_store_has_all_eighteen_tables_and_no_rows(store: DuckStore) -> None:
    assert [count(store, f"raw.{s.table}") for s in sources()] == [0] * 18
    assert store.seq == 0


def test_rows_are_stored_with_codes_in_order_of_appearance_and_the_number_of_their_batch(store: DuckStore) -> None:
    store.append("power", power(june(A, 10), june(B, 20)))
    receipt = store.append("power", power(june(B, 21, hours_ago=0), june(C, 30)))
    assert (receipt.seq, receipt.rows, receipt.is_new) == (2, 2, True)
    found = store.connection.execute("SELECT firm, valid_at, known_at, kwh, seq FROM raw.power ORDER BY ALL").fetchall()
    day, known = date(2025, 6, 30), datetime(2025, 6, 30, 11)
    assert found == [
        (0, day, known, 10.0, 1),
        (1, day, known, 20.0, 1),
        (1, day, datetime(2025, 6, 30, 12), 21.0, 2),
        (2, day, known, 30.0, 2),
    ]
    assert store.connection.execute("FROM companies ORDER BY code").fetchall() == [(0, A), (1, B), (2, C)]
    assert (store.code(C), store.code("nobody")) == (2, None)


def test_the_same_rows_again_change_nothing_however_arrow_holds_them(store: DuckStore) -> None:
    rows = power(june(A, 10), june(B, 20))
    first = store.append("power", rows)
    as_dictionary = rows.set_column(0, "company", rows["company"].combine_chunks().dictionary_encode())
    in_two_chunks = pa.concat_tables([rows.slice(0, 1), rows.slice(1)]).select(reversed(rows.column_names))
    for again in (rows, as_dictionary, in_two_chunks):
        receipt = store.append("power", again)
        assert (receipt.seq, receipt.rows, receipt.is_new, receipt.sha256) == (1, 2, False, first.sha256)
    assert (count(store), store.seq) == (2, 1)


def test_a_batch_is_known_again_after_reopening(tmp_path: Path) -> None:
    for is_new in (True, False):
        with DuckStore(tmp_path / "hub.duckdb") as store:
            assert store.append("power", power(june(A, 10))).is_new is is_new
            assert store.append("power", power(june(B, 10)), batch="b" * 64).is_new is is_new
            assert (count(store), store.seq, store.code(B)) == (2, 2, 1)


def test_one_digest_names_one_batch_of_each_source(store: DuckStore) -> None:
    water = pa.table({**dict(zip(power(june(A, 1)).column_names, power(june(A, 1)).columns, strict=True))})
    water = water.rename_columns({"kwh": "cubic_metres"}).drop_columns("degree_days")
    assert store.append("power", power(june(A, 1)), batch="x").is_new
    assert store.append("water", water, batch="x").is_new
    assert not store.append("water", water, batch="x").is_new


def test_several_batches_are_one_commit_with_a_receipt_each(store: DuckStore) -> None:
    rows = [power(june(A, kwh)) for kwh in (1, 2, 1, 3)]
    receipts = store.append_many([Batch("power", part) for part in rows])
    assert [(r.seq, r.is_new) for r in receipts] == [(1, True), (2, True), (1, False), (3, True)]
    assert store.connection.execute("SELECT seq, rows FROM batches ORDER BY seq").fetchall() == [(1, 1), (2, 1), (3, 1)]


def test_one_bad_batch_among_several_leaves_nothing(store: DuckStore) -> None:
    store.append("power", power(june(A, 1)))
    short = power(("91990001", date(2025, 6, 30), NOON, 1.0))
    with pytest.raises(TableError, match="18 characters"):
        store.append_many([Batch("power", power(june(B, 1))), Batch("power", short)])
    assert (count(store), store.seq, store.code(B)) == (1, 1, None)
    store.append("power", power(june(C, 1)))
    assert store.connection.execute("FROM companies ORDER BY code").fetchall() == [(0, A), (1, C)]


def test_the_buyer_of_an_invoice_has_the_same_code_as_the_company(store: DuckStore) -> None:
    shared = {"valid_at": [date(2025, 6, 30)], "known_at": pa.array([NOON], pa.timestamp("us", "UTC"))}
    numbers = {"buyer_region": [1], "amount_cny": [9.0], "tax_cny": [1.0], "invoices": [2]}
    store.append("invoices", pa.table({"company": [A], "buyer": [B], **shared, **numbers}))
    store.append("invoices", pa.table({"company": [B], "buyer": [A], **shared, **numbers}))
    assert store.connection.execute("SELECT firm, buyer FROM raw.invoices ORDER BY seq").fetchall() == [(0, 1), (1, 0)]


def test_a_window_counts_each_fact_once_in_its_latest_version(store: DuckStore) -> None:
    may = date(2025, 5, 31)
    store.append("power", power(june(A, 10, hours_ago=5), (A, may, NOON - timedelta(hours=2), 7.0), june(B, 4)))
    store.append("power", power(june(A, 11, hours_ago=0), june(C, 5, hours_ago=72), june(C, 6, hours_ago=-1)))
    window = store.window("power", "kwh", after=NOON - timedelta(hours=72), until=NOON)
    assert window.to_pylist() == [
        {"company": A, "count": 2, "sum": 18.0, "last": 11.0},
        {"company": B, "count": 1, "sum": 4.0, "last": 4.0},
    ]
    one = store.window("power", "kwh", after=NOON - timedelta(hours=72), until=NOON, company=B)
    assert one.to_pylist() == window.to_pylist()[1:]
    assert store.window("power", "kwh", after=NOON, until=NOON, company="nobody").num_rows == 0
    with pytest.raises(TableError, match="one of kwh, degree_days, days_late"):
        store.window("power", "company", after=NOON, until=NOON)


def test_the_companies_that_changed_since_a_batch_are_told_by_source(store: DuckStore) -> None:
    store.append("power", power(june(A, 1), june(B, 1)))
    store.append("power", power(june(B, 2), june(C, 1), june(C, 2)))
    found = store.changed(1).sort_by([("firm", "ascending")]).to_pylist()
    assert found == [{"source": "power", "firm": 1}, {"source": "power", "firm": 2}]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.drop_columns("kwh"), "'kwh': found no such column"),
        (lambda rows: rows.set_column(5, "days_late", pa.array([1.5])), "'days_late': found double cells"),
        (lambda rows: rows.set_column(0, "company", pa.array([None], pa.string())), "'company': found 1 empty cells"),
    ],
)
def test_rows_that_are_not_the_sources_are_refused_without_a_cell(store: DuckStore, change, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TableError, match=said) as refused:
        store.append("power", change(power(june(A, 1))))
    assert A not in str(refused.value)
    assert "1.5" not in str(refused.value)
    assert store.seq == 0


def test_a_second_owner_is_refused_in_this_process_and_in_another(store: DuckStore) -> None:
    with pytest.raises(TableError, match="another process"):
        DuckStore(store.path)
    code = (
        f"from fedcredit.data.store.duck import DuckStore; DuckStore(__import__('pathlib').Path({str(store.path)!r}))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "TableError" in other.stderr
    assert "hint: stop it, or send rows" in other.stderr
    store.append("power", power(june(A, 1)))


def test_a_file_of_another_kind_or_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.duckdb").write_text("not a database, but long enough to be looked at twice" * 100)
    with pytest.raises(TableError, match="not DuckDB's"):
        DuckStore(tmp_path / "text.duckdb")
    with duckdb.connect(str(tmp_path / "old.duckdb")) as old:
        old.execute("CREATE SCHEMA raw; CREATE TABLE raw.power (firm INTEGER)")
    with pytest.raises(TableError, match=r"raw\.power: found other columns"):
        DuckStore(tmp_path / "old.duckdb")
    with pytest.raises(TableError, match="no such file"):
        DuckStore(tmp_path / "none.duckdb", read_only=True)


def test_a_reader_beside_the_writer_sees_whole_batches_only(store: DuckStore) -> None:
    seen, reads, stop = set(), threading.Event(), threading.Event()

    def read() -> None:
        cursor = store.connection.cursor()
        while not stop.is_set():
            seen.add(cursor.execute("SELECT count(*) FROM raw.power").fetchall()[0][0] % 50)
            reads.set()

    reader = threading.Thread(target=read, daemon=True)  # a fault of the writer is not to hold the process
    reader.start()
    assert reads.wait(30)
    for number in range(20):
        store.append("power", power(*(june(A, number * 50 + i) for i in range(50))))
    stop.set()
    reader.join()
    assert seen == {0}
