"""A file and its schema become a checked table: a fault names file, column, row, what was found and what is right."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd

from fedcredit.data.cells import fault, numbers, read_cells, require
from fedcredit.data.infer import infer_schema
from fedcredit.data.panel import order
from fedcredit.data.schema import Column, Schema, Table
from fedcredit.data.windows import SPLITS
from fedcredit.errors import TableError

__all__ = ["check", "infer_schema", "read_table", "write_table"]

ROLES = ("company", "period", "institution", "split", "incumbent", "amount", "size", "sector", "region", "stratum")


def read_table(path: Path, schema: Schema, *, encoding: str | None = None, allow_gaps: bool = False) -> Table:
    """The checked table of a CSV (UTF-8 or GB 18030, told apart) or Parquet file; see `check`."""
    keys = (schema.company, schema.institution, schema.split, schema.sector, schema.region)
    categories = (column.name for column in schema.columns if column.kind == "category")
    text = {name for name in (*keys, *categories) if name is not None}
    return check(read_cells(path, text=text, encoding=encoding), schema, where=path.name, allow_gaps=allow_gaps)


def check(frame: pd.DataFrame, schema: Schema, *, where: str, allow_gaps: bool = False) -> Table:
    """The frame with clean types and each company's periods in order, or a `TableError` at the first fault.

    A period missing inside a company's panel is refused, unless `allow_gaps` puts an empty row in its place, which
    `make_windows` turns into padding. The index of `frame` counts the rows of its file from 0.

    >>> from fedcredit.data.schema import Label
    >>> schema = Schema((Column("debt"),), Label("bad"), company="id")
    >>> check(pd.DataFrame({"id": ["a", "b"], "debt": [1, 2], "bad": [0, 2]}), schema, where="loans.csv")
    Traceback (most recent call last):
    fedcredit.errors.TableError: loans.csv, column 'bad', row 3: found 2, expected 0 or 1
    """
    if frame.empty:
        raise TableError(where, found="no rows", expected="one row a company, or one a company and period")
    require(frame, _columns_of(schema), where=where)

    clean = {schema.company: _names(frame[schema.company], where=where, expected="a company id")}
    clean[schema.label.column] = _zero_or_one(frame[schema.label.column], where=where).astype("int64")
    if schema.institution is not None:
        clean[schema.institution] = _names(frame[schema.institution], where=where, expected="an institution's name")
    if schema.split is not None:
        clean[schema.split] = _split(frame[schema.split], where=where)
    for name in (schema.incumbent, schema.amount):
        if name is not None:
            clean[name] = numbers(frame[name], where=where)
    for column in schema.columns:
        clean[column.name] = _feature(frame[column.name], column, where=where)
    checked = frame.assign(**clean)
    if schema.period is not None:
        checked = order(checked, schema, where=where, allow_gaps=allow_gaps)
    return Table(checked.reset_index(drop=True), schema)


def write_table(table: Table, folder: Path, *, source: Path) -> Path:
    """The table as `data.parquet` and `table.json` in `folder`; gives the path of the former.

    Only columns that the schema names are written, and no rows that keep the place of a missing period. The lineage
    names `source` and its sha256. Both files are whole before either takes its place.
    """
    with source.open("rb") as stream:
        lineage = {
            **table.schema.lineage,
            "file": source.name,
            "sha256": hashlib.file_digest(stream, "sha256").hexdigest(),
        }
    schema = replace(table.schema, lineage=lineage)
    label = schema.label.column
    rows = table.frame.loc[table.frame[label].notna(), _columns_of(schema)].astype({label: "int64"})
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:
        data, said = Path(unfinished, "data.parquet"), Path(unfinished, "table.json")
        rows.to_parquet(data, index=False)
        said.write_text(json.dumps(schema.as_dict(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        said.replace(folder / said.name)
        return data.replace(folder / data.name)


def _columns_of(schema: Schema) -> list[str]:
    """Keys, features and label, each once: a feature may have a role as well."""
    keys = [name for role in ROLES if (name := getattr(schema, role)) is not None]
    return list(dict.fromkeys([*keys, *schema.features, schema.label.column]))


def _names(cells: pd.Series, *, where: str, expected: str) -> pd.Series:
    names = cells.astype("str")
    wrong = cells.isna() | (names.str.strip() == "")
    if wrong.any():
        raise fault(cells, wrong, where=where, expected=expected)
    return names


def _split(cells: pd.Series, *, where: str) -> pd.Series:
    wrong = ~cells.isin(SPLITS)
    if wrong.any():
        hint = "without a split column, companies are split 60/20/20 by the hash of their id"
        raise fault(cells, wrong, where=where, expected=f"one of {', '.join(SPLITS)}", hint=hint)
    return cells.astype("str")


def _zero_or_one(cells: pd.Series, *, where: str) -> pd.Series:
    found = numbers(cells, where=where)
    wrong = ~found.isin([0.0, 1.0])
    if wrong.any():
        raise fault(cells, wrong, where=where, expected="0 or 1")
    return found


def _feature(cells: pd.Series, column: Column, *, where: str) -> pd.Series:
    if column.kind == "category":
        return cells.astype("str")
    found = numbers(cells, where=where)
    missing = found.isna()
    if missing.any() and not column.nullable:
        hint = "declare the column nullable: true, which adds a missing-indicator input"
        raise fault(cells, missing, where=where, expected="a number in every row", hint=hint)
    if column.kind == "flag" and (wrong := ~found.isin([0, 1]) & ~missing).any():
        raise fault(cells, wrong, where=where, expected="0 or 1")
    if column.kind == "month" and (wrong := ~found.isin(range(1, 13)) & ~missing).any():
        raise fault(cells, wrong, where=where, expected="a month, 1 to 12")
    return found
