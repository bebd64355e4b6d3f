"""Batches of rows become tables of one DuckDB file: whole, once, and there after a crash."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import duckdb
import numpy as np
import pyarrow as pa

from fedcredit.data.sources import COMPANY, KNOWN_AT, VALID_AT, Source, source, sources
from fedcredit.data.store.codes import Codes
from fedcredit.data.store.rows import digest, number_of, typed
from fedcredit.data.store.store import Batch, Receipt
from fedcredit.errors import TableError

SQL_TYPES = {
    "number": "DOUBLE",
    "share": "DOUBLE",
    "count": "BIGINT",
    "category": "VARCHAR",
    "text": "VARCHAR",
    "date": "DATE",
    "flag": "BOOLEAN",
    "company": "INTEGER",  # its code
}
COMPANIES = [("code", "INTEGER"), ("company", "VARCHAR")]
BATCHES = [
    ("seq", "BIGINT"),
    ("source", "VARCHAR"),
    ("sha256", "VARCHAR"),
    ("rows", "BIGINT"),
    ("committed_at", "TIMESTAMP"),
]
# Commits go to the write-ahead log; at this size it is folded into the file, which makes one commit wait for about
# 0.1 s. Smaller logs wait more often, larger ones longer, and are read again when the file is opened after a crash.
WAL_MIB = 16
_owned: set[Path] = set()  # one process may open a DuckDB file twice, but each store counts its batches by itself


class DuckStore:
    """The event store in one file, owned by one process. See docs/event-store.md for its tables.

    `connection` is for SQL that reads, and for the tables of schema `hub`; other threads take `connection.cursor()`.
    Rows are written through a connection of the store's own, so that a reader never holds up or sees half a batch.

    Raises:
        TableError: another process owns the file, it is no event store, or it has other columns than sources.yaml.
    """

    def __init__(
        self, path: Path, *, read_only: bool = False, memory_gib: float = 4.0, threads: int = 2, wal_mib: int = WAL_MIB
    ) -> None:
        self.path = path.resolve()
        if not read_only and self.path in _owned:
            raise _is_owned(path)
        self.connection = _open(path, read_only=read_only, memory_gib=memory_gib, threads=threads, wal_mib=wal_mib)
        try:
            if not read_only:
                _create(self.connection)
            _require_columns(self.connection, path)
            self._codes = _codes_of(self.connection)
            self._batches: dict[bytes, int] = {
                _name(table, sha256): seq
                for table, sha256, seq in self.connection.execute("SELECT source, sha256, seq FROM batches").fetchall()
            }
        except BaseException:
            self.connection.close()
            raise
        self._writer = self.connection.cursor()
        self._lock = threading.Lock()
        self._is_read_only = read_only
        if not read_only:
            _owned.add(self.path)

    @property
    def seq(self) -> int:
        """Number of the newest batch, 0 before the first."""
        return len(self._batches)

    def append(self, table: str, rows: pa.Table, *, batch: str | None = None) -> Receipt:
        """Store rows of a source unless a batch of this name (`batch`, or the digest of the rows) is in."""
        return self.append_many([Batch(table, rows, batch)])[0]

    def append_many(self, batches: Sequence[Batch]) -> list[Receipt]:
        """Store several batches by one commit: when this returns all are durable, when it raises none is in.

        Raises:
            TableError: rows are not as their source says, or the file cannot be written.
        """
        with self._lock:
            receipts, fresh = self._number(batches)
            if not fresh:
                return receipts
            companies = len(self._codes)
            try:
                self._writer.begin()
                for table in {batch.table for _, batch in fresh}:
                    self._insert(source(table), [(seq, batch.rows) for seq, batch in fresh if batch.table == table])
                self._insert_arrow("companies", _numbered(self._codes.companies(companies), first=companies))
                self._insert_arrow("batches", _as_rows(fresh))
                self._writer.commit()
            except BaseException as fault:
                self._roll_back(companies)
                if isinstance(fault, duckdb.Error):
                    raise _not_written(self.path, fault) from None
                raise
            self._batches |= {_name(batch.table, batch.sha256 or ""): seq for seq, batch in fresh}
            return receipts

    def changed(self, after_seq: int) -> pa.Table:
        """Companies (`firm`) with rows of a `source` that came by batches numbered above `after_seq`, each pair once."""
        parts = (
            f"SELECT DISTINCT '{s.table}' AS source, firm FROM raw.{s.table} WHERE seq > {int(after_seq)}"  # noqa: S608
            for s in sources()
        )
        return self.connection.cursor().sql(" UNION ALL ".join(parts)).to_arrow_table()

    def code(self, company: str) -> int | None:
        """The INTEGER that stands for a company in this file."""
        return self._codes.find(company)

    def window(
        self, table: str, column: str, *, after: datetime, until: datetime, company: str | None = None
    ) -> pa.Table:
        """By company the count, sum and last of a column over facts known in (after, until]; see `EventStore`."""
        about = source(table)
        key = ", ".join("firm" if name == COMPANY else name for name in about.key)
        value = number_of(about, column)
        code = None if company is None else self._codes.find(company)
        only = "" if company is None else f"AND firm = {-1 if code is None else code}"
        found = self.connection.cursor().sql(
            f"""
            WITH facts AS (
              SELECT firm, arg_max({{'day': valid_at, 'known': known_at, 'value': {value}}}, (known_at, seq)) AS fact
              FROM raw.{table} WHERE known_at > $after AND known_at <= $until {only} GROUP BY {key}
            ), windows AS (
              SELECT firm, count(*) AS count, sum(fact.value)::DOUBLE AS sum, max(fact).value::DOUBLE AS last
              FROM facts WHERE fact.value IS NOT NULL GROUP BY firm
            )
            SELECT company, count, sum, last FROM windows JOIN companies ON code = firm ORDER BY company
            """,  # noqa: S608
            params={"after": _plain(after), "until": _plain(until)},
        )
        return found.to_arrow_table()

    def close(self) -> None:
        """Fold the log into the file and give it up."""
        _owned.discard(self.path)
        self._writer.close()
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _number(self, batches: Sequence[Batch]) -> tuple[list[Receipt], list[tuple[int, Batch]]]:
        """A receipt for each batch, and those that are new with their numbers, rows typed."""
        receipts, fresh, known = [], [], {}
        for batch in batches:
            rows = typed(batch.rows, batch.table)
            sha256 = batch.sha256 or digest(rows)
            name = _name(batch.table, sha256)
            seq = self._batches.get(name) or known.get(name)
            is_new = seq is None
            if seq is None:
                seq = known[name] = len(self._batches) + len(fresh) + 1
                fresh.append((seq, replace(batch, rows=rows, sha256=sha256)))
            receipts.append(Receipt(seq, rows.num_rows, is_new, sha256))
        return receipts, fresh

    def _insert(self, table: Source, parts: Sequence[tuple[int, pa.Table]]) -> None:
        rows = pa.concat_tables([part for _, part in parts])
        for name in (COMPANY, *(f.name for f in table.columns if f.type == "company")):
            codes = pa.array(self._codes.encode(rows[name].combine_chunks()))
            rows = rows.set_column(rows.column_names.index(name), name, codes)
        seqs = np.repeat([seq for seq, _ in parts], [part.num_rows for _, part in parts])
        self._insert_arrow(f"raw.{table.table}", rows.append_column("seq", pa.array(seqs)))

    def _insert_arrow(self, table: str, rows: pa.Table) -> None:
        if rows.num_rows:
            self._writer.register("arrow_rows", rows)
            self._writer.execute(f"INSERT INTO {table} SELECT * FROM arrow_rows")  # noqa: S608
            self._writer.unregister("arrow_rows")

    def _roll_back(self, companies: int) -> None:
        self._codes.forget(companies)
        try:
            self._writer.rollback()
        except duckdb.Error:  # the failed statement has ended the transaction, or the whole connection
            return


def _open(path: Path, *, read_only: bool, memory_gib: float, threads: int, wal_mib: int) -> duckdb.DuckDBPyConnection:
    if read_only and not path.exists():
        raise TableError(str(path), found="no such file", expected="an event store")
    settings = {
        "memory_limit": f"{memory_gib}GiB",
        "threads": threads,
        "wal_autocheckpoint": f"{wal_mib}MiB",
        "autoinstall_known_extensions": False,  # an institution's hub downloads nothing
        "autoload_known_extensions": False,
    }
    try:
        return duckdb.connect(str(path), read_only=read_only, config=settings)
    except duckdb.IOException as fault:
        if "lock" in str(fault):
            raise _is_owned(path) from None
        found = "a file that is not DuckDB's, or cannot be opened"
        raise TableError(str(path), found=found, expected="an event store, or a path where one can be made") from None
    except duckdb.ConnectionException:
        raise _is_owned(path) from None


def _create(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE SCHEMA IF NOT EXISTS raw")
    tables = {"companies": COMPANIES, "batches": BATCHES} | {f"raw.{t.table}": _columns(t) for t in sources()}
    for table, columns in tables.items():
        shape = ", ".join(f"{name} {kind}" for name, kind in columns)
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({shape})")


def _columns(table: Source) -> list[tuple[str, str]]:
    shared = [("firm", "INTEGER"), (VALID_AT, "DATE"), (KNOWN_AT, "TIMESTAMP")]
    return [*shared, *((f.name, SQL_TYPES[f.type]) for f in table.columns), ("seq", "BIGINT")]


def _require_columns(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    found: dict[str, list[tuple[str, str]]] = {}
    columns = (
        "SELECT schema_name || '.' || table_name, column_name, data_type FROM duckdb_columns() ORDER BY column_index"
    )
    for table, column, kind in connection.execute(columns).fetchall():
        found.setdefault(table, []).append((column, kind))
    expected = {f"raw.{table.table}": _columns(table) for table in sources()}
    for name, shape in {"main.companies": COMPANIES, "main.batches": BATCHES, **expected}.items():
        if found.get(name) != shape:
            raise TableError(
                f"{path}, table {name}",
                found="other columns" if name in found else "no such table",
                expected="an event store with the columns of sources.yaml",
                hint="if it was made by another version, ingest the raw files into a new one",
            )


def _codes_of(connection: duckdb.DuckDBPyConnection) -> Codes:
    companies = connection.sql("SELECT company FROM companies ORDER BY code").to_arrow_table()["company"]
    return Codes(companies.combine_chunks().cast(pa.string()))


def _numbered(companies: pa.Array, *, first: int) -> pa.Table:
    return pa.table({"code": np.arange(first, first + len(companies), dtype=np.int32), "company": companies})


def _as_rows(fresh: Sequence[tuple[int, Batch]]) -> pa.Table:
    now = datetime.now(UTC).replace(tzinfo=None)
    return pa.table(
        {
            "seq": pa.array([seq for seq, _ in fresh], pa.int64()),
            "source": [batch.table for _, batch in fresh],
            "sha256": [batch.sha256 for _, batch in fresh],
            "rows": pa.array([batch.rows.num_rows for _, batch in fresh], pa.int64()),
            "committed_at": pa.array([now] * len(fresh), pa.timestamp("us")),
        }
    )


def _name(table: object, sha256: object) -> bytes:
    """A batch's name in 40 bytes and fewer objects: a hub may have taken a million of them."""
    return f"{table}:{sha256}".encode()


def _plain(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _is_owned(path: Path) -> TableError:
    return TableError(
        str(path),
        found="a file that another process (or part of this one) has open",
        expected="one owner at a time",
        hint="stop it, or send rows to its HTTP endpoint: fedcredit serve ingest",
    )


def _not_written(path: Path, fault: duckdb.Error) -> TableError:
    found = f"a write that failed ({type(fault).__name__})"
    return TableError(
        str(path), found=found, expected="a batch stored whole; none of it is", hint="check the free space"
    )
