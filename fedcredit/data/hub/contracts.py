"""A source of sources.yaml becomes a pandera schema: what each cell can be, and what holds within a row."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

import duckdb
import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow as arrow
from pandera.errors import SchemaError, SchemaErrors

from fedcredit.data.hub.typed import Mask
from fedcredit.data.identifiers import is_uscc
from fedcredit.data.sources import COMPANY, KNOWN_AT, VALID_AT, Field, Rule, Source

FIRST_DAY, LAST_DAY = pd.Timestamp("1980-01-01"), pd.Timestamp("2100-12-31")
A_DAY = pd.Timedelta(days=1)  # between the day of a fact in China and the moment in UTC when it was known
LONGEST_TEXT = 200
UNREADABLE = "[\x00-\x1f\x7f\ufffd]"


def contract(source: Source, *, now: datetime) -> pa.DataFrameSchema:
    """The schema of the source's typed rows at the moment `now` (UTC); the name of a check is the reason it gives.

    >>> from fedcredit.data.sources import source
    >>> schema = contract(source("gas"), now=datetime(2026, 1, 1))
    >>> [check.name for check in schema.columns["cubic_metres"].checks]
    ['cubic_metres: not finite', 'cubic_metres: below 0', 'cubic_metres: above 1e+08']
    """
    columns = {
        field.name: pa.Column(
            nullable=field.nullable,
            checks=[_check(f"{field.name}: {what}", holds) for what, holds in _conditions(field)],
        )
        for field in source.fields
    }
    rows = [_check(what, holds) for what, holds in _times(source, now=now)]
    return pa.DataFrameSchema(columns, checks=[*rows, *(_check(rule.reason, _rule(rule)) for rule in source.rules)])


def faults(frame: pd.DataFrame, schema: pa.DataFrameSchema) -> dict[str, Mask]:
    """By reason, which rows of a typed frame break the schema; pandera runs every check on all rows at once."""
    try:
        schema.validate(frame, lazy=True, inplace=True)
    except SchemaErrors as found:
        return dict(_fault(error, frame) for error in found.schema_errors)
    return {}


def _fault(error: SchemaError, frame: pd.DataFrame) -> tuple[str, Mask]:
    if isinstance(error.check, pa.Check) and error.check_output is not None:
        return str(error.check.name), ~np.asarray(error.check_output, dtype=bool)
    if error.check == "not_nullable":
        return f"{error.schema.name}: missing", frame[error.schema.name].isna().to_numpy(dtype=bool)
    raise error  # a fault of ours: the frame is not typed


def _check(reason: str, holds: Callable[..., pd.Series]) -> pa.Check:
    return pa.Check(holds, name=reason, ignore_na=False)


def _conditions(field: Field) -> list[tuple[str, Callable[[pd.Series], pd.Series]]]:
    """What must hold of a column's cells, after the words for where it does not; a missing cell breaks none of it."""
    if field.type == "company":
        return [
            ("no unified social credit code", lambda codes: _of_values(codes, lambda seen: is_uscc(seen.to_list())))
        ]
    if field.type == "category":
        return [("none of its levels", lambda words: _of_values(words, lambda seen: seen.isin(field.levels)))]
    if field.type == "text":
        return [
            (
                f"longer than {LONGEST_TEXT}",
                lambda words: _of_values(words, lambda seen: seen.str.len() <= LONGEST_TEXT),
            ),
            ("unreadable signs", lambda words: _of_values(words, lambda seen: ~seen.str.contains(UNREADABLE))),
        ]
    if field.type == "date":
        return [("outside 1980..2100", lambda days: days.isna() | days.between(FIRST_DAY, LAST_DAY))]
    if field.type == "flag":
        return []
    lo, hi = (0.0, 1.0) if field.type == "share" else (field.lo, field.hi)
    return [
        ("not finite", lambda numbers: ~np.isinf(numbers)),
        (f"below {lo:g}", lambda numbers: ~(numbers < lo) | np.isinf(numbers)),
        (f"above {hi:g}", lambda numbers: ~(numbers > hi) | np.isinf(numbers)),
    ]


def _times(source: Source, *, now: datetime) -> list[tuple[str, Callable[[pd.DataFrame], pd.Series]]]:
    """No record comes from the future, none is known before its day; months and quarters are dated by their ends."""
    found = [
        (f"{KNOWN_AT}: after now", lambda rows: ~(rows[KNOWN_AT] > now)),
        (f"{VALID_AT}: after now", lambda rows: ~(rows[VALID_AT] > now + A_DAY)),
        (f"{KNOWN_AT}: before {VALID_AT}", lambda rows: ~(rows[VALID_AT] > rows[KNOWN_AT] + A_DAY)),
    ]
    if source.frequency in ("M", "Q"):
        period = "month" if source.frequency == "M" else "quarter"
        reason = f"{VALID_AT}: not the last day of a {period}"
        found.append((reason, lambda rows: rows[VALID_AT].isna() | getattr(rows[VALID_AT].dt, f"is_{period}_end")))
    return found


def _of_values(column: pd.Series, holds: Callable[[pd.Index], object]) -> pd.Series:
    """The condition of each cell of a categorical, asked once a value."""
    values = np.append(np.asarray(holds(column.cat.categories), dtype=bool), True)
    return pd.Series(values[column.cat.codes], index=column.index)


def _rule(rule: Rule) -> Callable[[pd.DataFrame], pd.Series]:
    """An SQL condition, which like SQL's CHECK is broken only where it is false, not where a cell is missing."""

    words = set(re.findall(r"\w+", rule.sql))

    def holds(rows: pd.DataFrame) -> pd.Series:
        mentioned = [
            name for name in rows.columns if name in words
        ]  # a category that is not needed is slow to hand over
        with duckdb.connect(config={"threads": 1}) as connection:
            connection.register("rows", arrow.Table.from_pandas(rows[mentioned], preserve_index=False))
            found = connection.execute(f"SELECT ({rule.sql}) IS NOT FALSE AS holds FROM rows").fetchnumpy()  # noqa: S608
        return pd.Series(np.asarray(found["holds"], dtype=bool), index=rows.index)

    return holds


__all__ = ["COMPANY", "contract", "faults"]
