"""A small CSV that somebody hands in becomes its rows of text: exactly the columns asked for, and no more of it."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fedcredit.errors import TableError

LONGEST_CELL = 40  # a grade, a count, a code; what is longer is something else, such as a company's name
BYTES_A_ROW = 256


class Row(NamedTuple):
    """A row and the line of the file that it ends on."""

    line: int
    cells: Mapping[str, str]


def read_rows(path: Path, *, columns: Sequence[str], most: int) -> Iterator[Row]:
    """The rows of a UTF-8 file, whose header names exactly these columns, in any order; empty lines are left out.

    A fault names line and column and never the cell: what stands there by mistake may be a company.

    Raises:
        TableError: unreadable, too large, no such CSV, another column, or a row that does not fit.
    """
    reader = csv.reader(io.StringIO(_text(path, most=most * BYTES_A_ROW), newline=""), strict=True)
    expected = f"a CSV with the columns {', '.join(columns)}"
    try:
        header = [name.strip() for name in next(reader, [])]
        if sorted(header) != sorted(columns):
            hint = "it holds these columns and no others: no company, no person"
            raise TableError(f"{path.name}, header", found="other columns", expected=expected, hint=hint)
        count = 0
        for cells in reader:
            if not any(cells):
                continue
            count += 1
            if count > most:
                raise TableError(path.name, found=f"more than {most:,} rows", expected="fewer")
            if len(cells) != len(header):
                found = f"{len(cells)} cells"
                raise TableError(f"{path.name}, line {reader.line_num}", found=found, expected=f"{len(header)}")
            told = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
            for name, cell in told.items():
                if len(cell) > LONGEST_CELL or not (cell.isprintable() or not cell):
                    where = f"{path.name}, line {reader.line_num}, column {name!r}"
                    raise TableError(where, found="a long text, or one that cannot be printed", expected="a short word")
            yield Row(reader.line_num, told)
    except csv.Error as fault:
        raise TableError(f"{path.name}, line {reader.line_num}", found="another form", expected=expected) from fault


def _text(path: Path, *, most: int) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as fault:
        raise TableError(str(path), found=os.strerror(fault.errno or 0), expected="a readable file") from fault
    if len(content) > most:
        raise TableError(path.name, found="an oversize file", expected=f"at most {most:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise TableError(path.name, found="bytes that are no text in UTF-8", expected="a CSV file") from fault
