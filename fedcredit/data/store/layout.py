"""sources.yaml becomes the tables of a DuckDB file, which one process opens."""

from __future__ import annotations

from pathlib import Path

import duckdb

from fedcredit.data.sources import KNOWN_AT, VALID_AT, Source, sources
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
# No two codes are alike: looking for what repeats in all of them is half the time of every checkpoint, in vain.
AS_IT_IS = {("companies", "company"): "USING COMPRESSION uncompressed"}
# Commits go to the write-ahead log; at this size it is folded into the file, which makes one commit wait for some
# 0.05 s. Smaller logs wait more often, larger ones longer, and are read again when the file is opened after a crash.
WAL_MIB = 16


def open_file(path: Path, *, read_only: bool, memory_gib: float, threads: int) -> duckdb.DuckDBPyConnection:
    """A connection to an event store, made where there is none.

    Raises:
        TableError: another process has it, it is no event store, or it has other columns than sources.yaml.
    """
    if read_only and not path.exists():
        raise TableError(str(path), found="no such file", expected="an event store")
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{memory_gib}GiB",
        "threads": threads,
        "wal_autocheckpoint": f"{WAL_MIB}MiB",
        "autoinstall_known_extensions": False,  # an institution's hub downloads nothing
        "autoload_known_extensions": False,
    }
    try:
        connection = duckdb.connect(str(path), read_only=read_only, config=settings)
    except duckdb.IOException as fault:
        if "lock" in str(fault):
            raise is_owned(path) from None
        found = "a file that is not DuckDB's, or cannot be opened"
        raise TableError(str(path), found=found, expected="an event store, or a path where one can be made") from None
    except duckdb.ConnectionException:
        raise is_owned(path) from None
    try:
        if not read_only:
            _create(connection)
        _require_columns(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE SCHEMA IF NOT EXISTS raw")
    tables = {"companies": COMPANIES, "batches": BATCHES} | {f"raw.{t.table}": _columns(t) for t in sources()}
    for table, columns in tables.items():
        shape = ", ".join(f"{name} {kind} {AS_IT_IS.get((table, name), '')}" for name, kind in columns)
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


def is_owned(path: Path) -> TableError:
    """What a second owner of a file is told."""
    return TableError(
        str(path),
        found="a file that another process (or part of this one) has open",
        expected="one owner at a time",
        hint="stop it, or send rows to its HTTP endpoint: fedcredit serve ingest",
    )
