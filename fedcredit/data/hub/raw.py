"""A raw file of any size becomes chunks of cells; a line that cannot be read is a fault of that line alone."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fedcredit.data.cells import FIRST_ROW
from fedcredit.errors import TableError

ROWS = 500_000
MOST_LINE_BYTES = 2**16
MOST_COLUMNS = 500
ENCODINGS = ("utf-8", "gb18030")  # tried in this order, line by line where a file mixes them


@dataclass(frozen=True)
class Chunk:
    """Cells, the index being the row of the file; and `unreadable` lines by row, with the reason."""

    cells: pd.DataFrame
    unreadable: dict[int, str] = field(default_factory=dict)


def read_chunks(path: Path, *, rows: int = ROWS, encoding: str | None = None) -> Iterator[Chunk]:
    """The file's chunks; Parquet keeps its types, every cell of a CSV is text.

    Raises:
        TableError: the file is neither, has no header, or has two columns of one name.
    """
    with path.open("rb") as stream:
        is_parquet = stream.read(4) == b"PAR1"
    return _parquet(path, rows) if is_parquet else _csv(path, rows, encodings=(encoding,) if encoding else ENCODINGS)


def _parquet(path: Path, rows: int) -> Iterator[Chunk]:
    try:
        with pq.ParquetFile(path) as file:
            if file.metadata.num_columns > MOST_COLUMNS:
                raise TableError(path.name, found="too many columns", expected=f"at most {MOST_COLUMNS}")
            at = FIRST_ROW
            for batch in file.iter_batches(batch_size=rows):
                cells = batch.to_pandas()
                yield Chunk(cells.set_axis(range(at, at + len(cells))))
                at += len(cells)
    except (pa.ArrowException, OSError) as fault:
        raise TableError(path.name, found=f"broken Parquet ({type(fault).__name__})", expected="a whole file") from None


def _csv(path: Path, rows: int, *, encodings: tuple[str, ...]) -> Iterator[Chunk]:
    with path.open("rb") as stream:
        lines = enumerate(iter(lambda: stream.readline(MOST_LINE_BYTES + 1), b""), start=1)
        _, first = next(lines, (1, b""))
        header = _cells(_text(first.removeprefix(b"\xef\xbb\xbf"), encodings) or "")
        if header is None or len(header) < 2 or len(header) > MOST_COLUMNS:
            hint = "columns are separated by commas, and the first line names them"
            raise TableError(path.name, found="no header", expected="a CSV file with a header, or Parquet", hint=hint)
        names = [name.strip() for name in header]
        if len(set(names)) < len(names):
            raise TableError(path.name, found="two columns of one name", expected="each once")
        while some := list(itertools.islice(lines, rows)):
            yield _chunk(some, names, encodings=encodings)


def _chunk(lines: list[tuple[int, bytes]], names: list[str], *, encodings: tuple[str, ...]) -> Chunk:
    places, found, unreadable = [], [], {}
    for row, line in lines:
        if len(line) > MOST_LINE_BYTES:
            unreadable[row] = "a line above 64 KiB"
            continue
        text = _text(line, encodings)
        if text is not None and not text.strip("\r\n ,"):
            continue  # an empty line
        cells = None if text is None else _cells(text)
        if cells is None:
            unreadable[row] = "no UTF-8 and no GB18030" if text is None else "an open quotation mark"
        elif len(cells) != len(names):
            unreadable[row] = "another number of cells than the header"
        else:
            places.append(row)
            found.append(cells)
    cells_of = pd.DataFrame(found, columns=names, index=places, dtype="str")
    return Chunk(cells_of, unreadable)


def _text(line: bytes, encodings: tuple[str, ...]) -> str | None:
    for encoding in encodings:
        try:
            return line.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return None


def _cells(text: str) -> list[str] | None:
    """The cells of one line, None where a quotation mark stays open; a cell never goes on in the next line."""
    text = text.rstrip("\r\n")
    if '"' not in text:
        return text.split(",")
    if text.count('"') % 2:
        return None
    return next(csv.reader([text]), [])
