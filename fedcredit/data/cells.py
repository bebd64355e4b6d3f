"""A CSV or Parquet file becomes a frame of cells, whose index still tells the row that a person sees."""

from __future__ import annotations

import codecs
import difflib
import warnings
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcredit.errors import TableError

FIRST_ROW = 2  # a spreadsheet shows the header as row 1
ENCODINGS = ("utf-8-sig", "gb18030")  # tried in this order; GB 18030 is what Chinese spreadsheets save
CHUNK_BYTES = 2**22


def read_cells(path: Path, *, text: Collection[str] = (), encoding: str | None = None) -> pd.DataFrame:
    """The file's cells; columns named in `text` stay as written, so that an id keeps its leading zeros.

    Only an empty cell is missing: `n/a` or `-` is text, and a number column with text in it is refused later, by row.
    Empty lines are left out; the index counts them, so that a fault names the row of the file.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
        if start == b"PAR1":
            return pd.read_parquet(path).reset_index(drop=True)
        return _read_csv(path, start, text=text, encoding=encoding or _encoding_of(path))
    except (OSError, LookupError, ValueError, pd.errors.ParserWarning) as error:  # faults of form are ValueErrors
        hint = "name the encoding, or save the file as UTF-8" if isinstance(error, LookupError | UnicodeError) else ""
        raise TableError(
            path.name, found=_reason(error), expected="a CSV file with one header row, or Parquet", hint=hint
        ) from error


def require(frame: pd.DataFrame, columns: Iterable[str], *, where: str) -> None:
    """Refuse a frame that lacks a column, naming the nearest one that it has.

    >>> require(pd.DataFrame({"bad_flag": [1]}), ["badflag"], where="loans.csv")
    Traceback (most recent call last):
    fedcredit.errors.TableError: loans.csv, column 'badflag': found no such column, expected it in the header
    hint: did you mean 'bad_flag'?
    """
    for name in columns:
        if name not in frame.columns:
            near = difflib.get_close_matches(name, map(str, frame.columns), n=1, cutoff=0.5)
            hint = (
                f"did you mean {near[0]!r}?" if near else f"the columns are {', '.join(map(str, frame.columns[:30]))}"
            )
            raise TableError(
                f"{where}, column {name!r}", found="no such column", expected="it in the header", hint=hint
            )


def numbers(cells: pd.Series, *, where: str) -> pd.Series:
    """The column as floats, missing cells NaN; text or infinity is refused by row.

    >>> numbers(pd.Series(["12", "1,250"], name="sales"), where="loans.csv")
    Traceback (most recent call last):
    fedcredit.errors.TableError: loans.csv, column 'sales', row 3: found '1,250', expected a number
    hint: write 1234.5 without thousands separators
    """
    if pd.api.types.is_datetime64_any_dtype(cells):
        raise fault(cells, np.ones(len(cells), dtype=bool), where=where, expected="a number")
    if cells.dtype.kind in "fiub":
        found = cells if cells.dtype in (np.float32, np.float64) else cells.astype("float64")
    else:
        found = pd.to_numeric(cells.astype(object), errors="coerce").astype("float64")
        wrong = found.isna() & cells.notna()
        if wrong.any():
            raise fault(cells, wrong, where=where, expected="a number", hint=_advice(str(cells[wrong].iloc[0])))
    if (infinite := np.isinf(found.to_numpy())).any():
        raise fault(cells, infinite, where=where, expected="a finite number")
    return found


def fault(
    cells: pd.Series, wrong: pd.Series | NDArray[np.bool_], *, where: str, expected: str, hint: str = ""
) -> TableError:
    """The error for the first wrong cell of a column; `cells.index` is the row of the file, counted from 0."""
    at = int(np.argmax(np.asarray(wrong)))
    cell = cells.iloc[at]
    number = cell.item() if isinstance(cell, np.generic) else cell
    return TableError(
        f"{where}, column {str(cells.name)!r}, row {cells.index[at] + FIRST_ROW}",
        found="an empty cell" if pd.isna(cell) else repr(number)[:80],
        expected=expected,
        hint=hint,
    )


def _read_csv(path: Path, start: bytes, *, text: Collection[str], encoding: str) -> pd.DataFrame:
    if start[:2] == b"PK":
        raise ValueError("an Excel workbook")
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, encoding=encoding, keep_default_na=False).iloc[0]
    if twice := header[header.duplicated()].tolist():
        raise ValueError(f"two columns named {twice[0]!r}")
    if len(header) == 1 and (sign := next((s for s in ";\t|" if s in header[0]), None)):
        raise ValueError(f"columns separated by {sign!r} and not by commas")
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header
        frame = pd.read_csv(
            path,
            encoding=encoding,
            dtype={name: "str" for name in header if name in text},
            keep_default_na=False,
            na_values=[""],
            skip_blank_lines=False,
            index_col=False,
            low_memory=False,
        )
    return frame.dropna(how="all")


def _encoding_of(path: Path) -> str:
    """The first encoding that reads the whole file: the fault may be in the last row."""
    for encoding in ENCODINGS[:-1]:
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            with path.open("rb") as stream:
                while chunk := stream.read(CHUNK_BYTES):
                    decoder.decode(chunk)
                decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        return encoding
    return ENCODINGS[-1]


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"bytes that are not {error.encoding}, at byte {error.start}"
    if isinstance(error, pd.errors.ParserWarning):
        return "a row with more cells than the header"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).replace("Error tokenizing data. C error: ", "").strip() or type(error).__name__


def _advice(cell: str) -> str:
    if "," in cell:
        return "write 1234.5 without thousands separators"
    if "%" in cell:
        return "write a share, 0.12 for 12%"
    return "leave the cell empty where nothing is known, or declare the column a category with levels"
