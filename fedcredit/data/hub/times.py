"""Days and moments as institutions write them become timestamps of UTC without a zone."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedcredit.data.hub.words import words_of

# 2025-01-31, 2025/1/31, 2025.1.31, 2025年1月31日, 20250131; each also with a time behind it. A month alone is no day.
DAY = r"^(\d{4})(?:[-/.年](\d{1,2})[-/.月](\d{1,2})日?|(\d{2})(\d{2}))([ T]\d.*)?$"
_LIKE_A_DAY = re.compile(DAY)


def read_times(cells: pd.Series, *, is_day: bool) -> tuple[pd.Series, NDArray[np.bool_]]:
    """The cells as datetime64[us], midnight of the day if `is_day`; and where a cell was no date.

    A moment with a zone becomes UTC, one without is taken as UTC. A day that no calendar has is no date.

    >>> times, wrong = read_times(pd.Series(["2025年1月31日", "2025-02-31", ""]), is_day=True)
    >>> times.dt.strftime("%Y-%m-%d").tolist(), wrong.tolist()
    (['2025-01-31', nan, nan], [False, True, False])
    """
    if isinstance(cells.dtype, pd.DatetimeTZDtype):
        cells = cells.dt.tz_convert("UTC").dt.tz_localize(None)
    if cells.dtype.kind == "M":
        times = cells.astype("datetime64[us]")
        return (times.dt.normalize() if is_day else times), np.zeros(len(cells), dtype=bool)
    parsed = _all_iso(pa.array(cells, from_pandas=True)) if isinstance(cells.dtype, pd.StringDtype) else None
    wrong = np.zeros(len(cells), dtype=bool)
    if parsed is None:
        words = words_of(cells)
        codes = words.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        parsed = np.append(parse(words.dictionary), np.datetime64("NaT"))[codes]
        wrong = np.isnat(parsed) & (codes >= 0)
    times = pd.Series(parsed, index=cells.index)
    return (times.dt.normalize() if is_day else times), wrong


def parse(texts: pa.Array) -> NDArray[np.datetime64]:
    """The moment that each text says, NaT where it says none."""
    if (moments := _all_iso(texts)) is not None:
        return moments
    is_like = pc.match_substring_regex(texts, DAY.replace("(?:", "("))
    iso = [text if text[4] == text[7] == "-" else _iso(text) for text in texts.filter(is_like).to_pylist()]
    found = np.full(len(texts), np.datetime64("NaT"), dtype="datetime64[us]")
    times = pd.to_datetime(pd.Series(iso, dtype="str"), format="ISO8601", errors="coerce", utc=True)
    found[is_like.to_numpy(zero_copy_only=False)] = times.dt.tz_localize(None).to_numpy("datetime64[us]")
    return found


def _all_iso(texts: pa.Array | pa.ChunkedArray) -> NDArray[np.datetime64] | None:
    """The moments, if every text is of ISO 8601, which is fast; with a zone all or none of them."""
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            moments = texts.cast(kind).cast(pa.timestamp("us"))
        except pa.ArrowException:
            continue
        return np.asarray(moments.to_pandas(), "datetime64[us]")
    return None


def _iso(text: str) -> str:
    match = _LIKE_A_DAY.match(text)
    if match is None:
        return ""
    year, month, day, short_month, short_day, time = match.groups()
    return f"{year}-{int(month or short_month):02d}-{int(day or short_day):02d}{time or ''}"
