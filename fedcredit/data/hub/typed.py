"""Cells as a file has them become columns of a source's types; a cell that cannot is a fault of its row alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedcredit.data.hub.times import read_times
from fedcredit.data.hub.words import words_of
from fedcredit.data.sources import KNOWN_AT, Field, Source

Mask = NDArray[np.bool_]
NO_VALUE = {
    "number": "no number",
    "share": "no number",
    "count": "no whole number",
    "date": "no date",
    "flag": "neither true nor false",
}
TRUE = ["1", "1.0", "true", "t", "yes", "y", "是"]
FALSE = ["0", "0.0", "false", "f", "no", "n", "否"]


@dataclass(frozen=True)
class Typed:
    """`frame` has one column a field, missing where a cell is empty or wrong; `wrong` says where, by reason.

    Texts are categoricals, so that what is asked of them is asked once a value; `write_out` makes them plain.
    """

    frame: pd.DataFrame
    wrong: dict[str, Mask]


def retype(cells: pd.DataFrame, source: Source, *, columns: Sequence[str] | None = None) -> Typed:
    """The columns of a source in its order (or only `columns`); one that is not there is missing in every row.

    >>> from fedcredit.data.sources import source
    >>> one = pd.DataFrame({"company": ["91990001000000000k"], "valid_at": ["2025/1/31"], "cubic_metres": ["1,250"]})
    >>> done = retype(one, source("gas"), columns=["company", "valid_at", "cubic_metres"])
    >>> done.frame.astype("str").iloc[0].tolist()
    ['91990001000000000K', '2025-01-31', nan]
    >>> [reason for reason, mask in done.wrong.items() if mask.any()]
    ['cubic_metres: no number']
    """
    made: dict[str, pd.Series] = {}
    wrong: dict[str, Mask] = {}
    for field in source.fields:
        if columns is not None and field.name not in columns:
            continue
        if field.name in cells.columns:
            made[field.name], mask = _retype(cells[field.name], field)
            if mask is not None:
                wrong[f"{field.name}: {NO_VALUE[field.type]}"] = mask
        else:
            made[field.name] = _missing(field, cells.index)
    return Typed(pd.DataFrame(made, index=cells.index), wrong)


def write_out(frame: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Typed rows without a fault as plain columns: text, float64, int64, datetime64, bool; Int64 where cells lack."""
    plain = {}
    for field in source.fields:
        values = frame[field.name]
        if field.type in ("category", "text", "company"):
            plain[field.name] = values.astype("str")
        elif field.type in ("count", "flag"):
            whole, lacking = ("int64", "Int64") if field.type == "count" else ("bool", "boolean")
            kind = pd.api.types.pandas_dtype(lacking if values.isna().any() else whole)
            plain[field.name] = values.astype(kind)
        else:
            plain[field.name] = values
    return pd.DataFrame(plain, index=frame.index)


def _retype(cells: pd.Series, field: Field) -> tuple[pd.Series, Mask | None]:
    if field.type in ("number", "share", "count"):
        return _numbers(cells, is_whole=field.type == "count")
    if field.type == "date":
        return read_times(cells, is_day=field.name != KNOWN_AT)
    words = words_of(cells, is_code=field.type == "company")
    if field.type == "flag":
        return _flags(words, cells.index)
    codes = words.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    texts = pd.Index(words.dictionary.to_pandas(), dtype="str")
    return pd.Series(pd.Categorical.from_codes(codes, categories=texts), index=cells.index), None


def _numbers(cells: pd.Series, *, is_whole: bool) -> tuple[pd.Series, Mask]:
    if cells.dtype.kind in "fiu":
        numbers = cells.astype("float64")
        lacking = numbers.isna().to_numpy()
    elif cells.dtype.kind == "b":
        return pd.Series(np.nan, index=cells.index), np.ones(len(cells), dtype=bool)
    else:
        lacking = (cells.isna() | (cells == "").fillna(False)).to_numpy(dtype=bool)
        numbers = pd.Series(_parse(cells), index=cells.index)
    wrong = numbers.isna().to_numpy() & ~lacking
    if is_whole:
        values = numbers.to_numpy()
        wrong |= np.isfinite(values) & (values != np.floor(values))
        numbers = numbers.mask(wrong)
    return numbers, wrong


def _parse(cells: pd.Series) -> NDArray[np.float64]:
    """Texts as floats, NaN where they are none: all at once where every cell is a number, else cell by cell."""
    try:
        parsed = pa.array(cells, from_pandas=True).cast(pa.float64())
    except (pa.ArrowException, TypeError, OverflowError):
        return pd.to_numeric(cells.astype(object), errors="coerce").to_numpy(dtype="float64")
    return np.asarray(parsed.to_numpy(zero_copy_only=False), dtype=np.float64)


def _flags(words: pa.DictionaryArray, index: pd.Index) -> tuple[pd.Series, Mask]:
    lower = pc.utf8_lower(words.dictionary)
    is_true, is_false = (pc.is_in(lower, pa.array(given, pa.large_string())) for given in (TRUE, FALSE))
    is_said = pc.or_(is_true, is_false)
    values = pc.if_else(is_said, is_true, pa.scalar(None, pa.bool_())).take(words.indices)
    wrong = pc.fill_null(pc.invert(is_said).take(words.indices), False)
    flags = pd.Series(pd.array(values.to_pylist(), dtype="boolean"), index=index)
    return flags, wrong.to_numpy(zero_copy_only=False)


def _missing(field: Field, index: pd.Index) -> pd.Series:
    if field.type == "date":
        return pd.Series(pd.NaT, index=index, dtype="datetime64[us]")
    if field.type in ("number", "share", "count"):
        return pd.Series(np.nan, index=index)
    if field.type == "flag":
        return pd.Series(pd.NA, index=index, dtype="boolean")
    return pd.Series(
        pd.Categorical.from_codes(np.full(len(index), -1), categories=pd.Index([], dtype="str")), index=index
    )
