"""An Arrow table becomes a source's columns in their types, with the digest that names the batch."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fedcredit.data.sources import COMPANY, KNOWN_AT, VALID_AT, Source, source
from fedcredit.errors import TableError

TYPES = {
    "number": pa.float64(),
    "share": pa.float64(),
    "count": pa.int64(),
    "category": pa.string(),
    "text": pa.string(),
    "company": pa.string(),
    "date": pa.date32(),
    "flag": pa.bool_(),
}
NEEDED = (COMPANY, VALID_AT, KNOWN_AT)


@cache
def schema_of(table: str) -> pa.Schema:
    """Column names and Arrow types of a source's rows.

    >>> [str(f.type) for f in schema_of("gas")]
    ['string', 'date32[day]', 'timestamp[us]', 'double', 'int64']
    """
    shape = [(f.name, pa.timestamp("us") if f.name == KNOWN_AT else TYPES[f.type]) for f in source(table).fields]
    return pa.schema(shape)


def typed(rows: pa.Table, table: str) -> pa.Table:
    """The source's columns in order and type, one chunk each; dictionaries are written out, UTC becomes plain.

    Raises:
        TableError: a column is missing, cannot be what the source says, or a row lacks company, valid_at or known_at.
    """
    if rows.schema.equals(schema_of(table)) and not any(rows[name].null_count for name in NEEDED):
        return rows
    columns = []
    for field in schema_of(table):
        where = f"{table}, column {field.name!r}"
        if field.name not in rows.column_names:
            raise TableError(where, found="no such column", expected=f"columns {', '.join(schema_of(table).names)}")
        try:
            column = rows[field.name].cast(field.type, safe=not pa.types.is_timestamp(field.type)).combine_chunks()
        except pa.ArrowException:  # its text would quote the cell
            found = f"{rows[field.name].type} cells that do not convert"
            raise TableError(where, found=found, expected=str(field.type)) from None
        if field.name in NEEDED and column.null_count:
            raise TableError(where, found=f"{column.null_count} empty cells", expected="none")
        columns.append(column)
    return pa.table(columns, schema=schema_of(table))


def digest(rows: pa.Table) -> str:
    """SHA-256 of typed rows: of what the cells say, not of how Arrow happens to hold them.

    >>> words = pa.table({"a": pa.array(["x", None, "y"])})
    >>> digest(words) == digest(words.slice(0, 3)), digest(words) == digest(words.slice(1))
    (True, False)
    """
    state = hashlib.sha256(f"{rows.num_rows}".encode())
    for field in rows.schema:
        column = rows[field.name].combine_chunks()
        state.update(f"|{field.name}:{field.type}|".encode())
        if column.null_count:  # what lies under an empty cell is chance
            state.update(_bytes(column.is_null().cast(pa.uint8())))
            column = column.fill_null("" if pa.types.is_string(field.type) else pa.scalar(0).cast(field.type))
        if pa.types.is_string(field.type):
            state.update(_bytes(pc.binary_length(column)))
            state.update(_letters(column))
        else:
            state.update(_bytes(column.cast(pa.uint8()) if pa.types.is_boolean(field.type) else column))
    return state.hexdigest()


def _bytes(column: pa.Array) -> bytes:
    return bytes(column.to_numpy(zero_copy_only=False).tobytes())


def _letters(column: pa.Array) -> bytes:
    """The texts of a string array one behind the other, as its buffer holds them."""
    _, offsets, letters = column.buffers()
    if not len(column) or letters is None:
        return b""
    begin, end = np.frombuffer(offsets, np.int32)[[column.offset, column.offset + len(column)]]
    return memoryview(letters)[begin:end].tobytes()


def number_of(table: Source, column: str) -> str:
    """The column's name, if the source has it and it is a number.

    Raises:
        TableError: it is not, or there is none.
    """
    numeric = [f.name for f in table.columns if f.type in ("number", "count", "share")]
    if column not in numeric:
        raise TableError(
            f"{table.table}", found=f"column {column!r}", expected=f"one of {', '.join(numeric) or 'none'}"
        )
    return column
