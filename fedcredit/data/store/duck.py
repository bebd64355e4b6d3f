"""Batches of rows become tables of one DuckDB file: whole, once, and there after a crash."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import duckdb
import numpy as np
import pyarrow as pa

from fedcredit.data.sources import COMPANY, Source, source, sources
from fedcredit.data.store.codes import Codes
from fedcredit.data.store.layout import is_owned, open_file
from fedcredit.data.store.rows import digest, number_of, typed
from fedcredit.data.store.store import Batch, Receipt
from fedcredit.errors import TableError

_owned: set[Path] = set()  # one process may open a DuckDB file twice, but each store counts its batches by itself


class DuckStore:
    """The event store in one file, owned by one process. See docs/event-store.md for its tables.

    `connection` is for SQL that reads, and for the tables of schema `hub`; other threads take `connection.cursor()`.
    Rows are written through a connection of the store's own, so that a reader never holds up or sees half a batch.

    Raises:
        TableError: another process owns the file, it is no event store, or it has other columns than sources.yaml.
    """

    def __init__(self, path: Path, *, read_only: bool = False, memory_gib: float = 4.0, threads: int = 2) -> None:
        self.path = path.resolve()
        if self.path in _owned:
            raise is_owned(path)
        self.connection = open_file(path, read_only=read_only, memory_gib=memory_gib, threads=threads)
        self._writer = self.connection.cursor()
        self._lock = threading.Lock()
        self._codes = _codes_of(self.connection)
        batches = self.connection.execute("SELECT source, sha256, seq, rows FROM batches").fetchall()
        self._batches = {_name(table, sha256): (seq, rows) for table, sha256, seq, rows in batches}
        self._is_open = True
        _owned.add(self.path)

    @property
    def seq(self) -> int:
        """Number of the newest batch, 0 before the first."""
        return len(self._batches)

    def has(self, table: str, sha256: str) -> bool:
        """Whether a batch of this name is in."""
        return _name(table, sha256) in self._batches

    def append(self, table: str, rows: pa.Table, *, batch: str | None = None) -> Receipt:
        """Store rows of a source unless a batch of this name (`batch`, or the digest of the rows) is in."""
        return self.append_many([Batch(table, rows, batch)])[0]

    def append_many(self, batches: Sequence[Batch]) -> list[Receipt]:
        """Store several batches by one commit: when this returns all are durable, when it raises none is in.

        Raises:
            TableError: rows are not as their source says, or the file cannot be written.
        """
        named = [_named(batch) for batch in batches]
        with self._lock:
            receipts, fresh = self._number(named)
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
            self._batches |= {_name(b.table, b.sha256 or ""): (seq, b.rows.num_rows) for seq, b in fresh}
            return receipts

    def changed(self, after_seq: int) -> pa.Table:
        """Each `source` and company (`firm`) with rows in a batch numbered above `after_seq`, once."""
        parts = (
            f"SELECT DISTINCT '{s.table}' AS source, firm FROM raw.{s.table} WHERE seq > {int(after_seq)}"  # noqa: S608
            for s in sources()
        )
        return self._read(" UNION ALL ".join(parts))

    def code(self, company: str) -> int | None:
        """The INTEGER that stands for a company in this file."""
        # Not from memory: there, a company has its code before the commit that makes it true.
        found = self._read("SELECT code FROM companies WHERE company = $company", company=company)["code"]
        return found[0].as_py() if len(found) else None

    def window(
        self, table: str, column: str, *, after: datetime, until: datetime, company: str | None = None
    ) -> pa.Table:
        """By company the count, sum and last of a column over facts known in (after, until]; see `EventStore`."""
        about = source(table)
        key = ", ".join("firm" if name == COMPANY else name for name in about.key)
        value = number_of(about, column)
        code = None if company is None else self.code(company)
        only = "" if company is None else f"AND firm = {-1 if code is None else code}"
        return self._read(
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
            after=_plain(after),
            until=_plain(until),
        )

    def close(self) -> None:
        """Fold the log into the file and give it up."""
        if self._is_open:
            self._is_open = False
            self._writer.close()
            self.connection.close()
            _owned.discard(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _read(self, sql: str, **values: object) -> pa.Table:
        with self.connection.cursor() as cursor:
            return cursor.sql(sql, params=values).to_arrow_table()

    def _number(self, batches: Sequence[Batch]) -> tuple[list[Receipt], list[tuple[int, Batch]]]:
        """A receipt for each batch, and those that are new with their numbers."""
        receipts: list[Receipt] = []
        fresh: dict[str, tuple[int, Batch]] = {}
        for batch in batches:
            name, sha256 = _name(batch.table, batch.sha256 or ""), batch.sha256 or ""
            if name in self._batches:
                receipts.append(Receipt(*self._batches[name], False, sha256))
            elif name in fresh:
                receipts.append(Receipt(fresh[name][0], fresh[name][1].rows.num_rows, False, sha256))
            else:
                fresh[name] = (self.seq + len(fresh) + 1, batch)
                receipts.append(Receipt(fresh[name][0], batch.rows.num_rows, True, sha256))
        return receipts, list(fresh.values())

    def _insert(self, table: Source, parts: Sequence[tuple[int, pa.Table]]) -> None:
        rows = pa.concat_tables([part for _, part in parts])
        for name in (COMPANY, *(f.name for f in table.columns if f.type == "company")):
            codes = pa.array(self._codes.encode(rows[name].combine_chunks()))
            rows = rows.set_column(rows.column_names.index(name), name, codes)
        seqs = np.repeat([seq for seq, _ in parts], [part.num_rows for _, part in parts])
        self._insert_arrow(f"raw.{table.table}", rows.append_column("seq", pa.array(seqs)))

    def _insert_arrow(self, table: str, rows: pa.Table) -> None:
        if rows.num_rows:
            # DuckDB finds `rows` in this frame, which costs half of registering it by name.
            self._writer.execute(f"INSERT INTO {table} FROM rows")

    def _roll_back(self, companies: int) -> None:
        self._codes.forget(companies)
        try:
            self._writer.rollback()
        except duckdb.Error:  # the failed statement has ended the transaction, or the whole connection
            return


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


def _named(batch: Batch) -> Batch:
    rows = typed(batch.rows, batch.table)
    return replace(batch, rows=rows, sha256=batch.sha256 or digest(rows))


def _name(table: str, sha256: str) -> str:
    return f"{table}:{sha256}"


def _plain(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _not_written(path: Path, fault: duckdb.Error) -> TableError:
    found = f"a write that failed ({type(fault).__name__})"
    return TableError(
        str(path), found=found, expected="a batch stored whole; none of it is", hint="check the free space"
    )
