"""A file and the names of its keys become a schema, for a table that has no `table.json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from fedcredit.data.cells import fault, numbers, read_cells, require
from fedcredit.data.schema import Column, Label, Schema
from fedcredit.errors import TableError


def infer_schema(
    path: Path,
    *,
    label: str,
    company: str,
    period: str | None = None,
    institution: str | None = None,
    split: str | None = None,
    features: Sequence[str] | None = None,
    kinds: Mapping[str, Mapping[str, Any]] | None = None,
    definition: str = "unstated",
    incumbent: str | None = None,
    amount: str | None = None,
    size: str | None = None,
    sector: str | None = None,
    region: str | None = None,
    stratum: str | None = None,
    encoding: str | None = None,
) -> Schema:
    """Columns from the file's header and cells: a number is an `amount`, or a `flag` where every cell is 0 or 1.

    `features` None takes every number column but the label, the keys, `incumbent`, `sector`, `region` and `stratum`; a
    column that mixes numbers and text is refused, one of text only is left out unless `kinds` declares it a category.
    `kinds` says otherwise for a column, as {"rate": {"kind": "ratio", "lo": 0, "hi": 2}}, and a sector or
    region that it names stays an input. A column with empty cells is nullable.
    """
    text = [name for name in (company, institution, split, sector, region) if name is not None]
    said = dict(kinds or {})
    text += [name for name, kind in said.items() if kind.get("kind") == "category"]
    frame = read_cells(path, text=text, encoding=encoding)
    keys = [name for name in (label, company, period, institution, split) if name is not None]
    groups = [name for name in (incumbent, amount, size, sector, region, stratum) if name is not None]
    require(frame, [*keys, *groups, *said, *(features or ())], where=path.name)
    for name in features or ():
        if name in keys:
            raise TableError(f"{path.name}, column {name!r}", found="the label or a key", expected="a feature")
    apart = {*keys, incumbent, stratum}
    # A code such as 330100 is no amount, but what is declared as a category is an input too.
    apart |= {name for name in (sector, region) if name not in said}
    names = [name for name in frame.columns if name not in apart] if features is None else features
    columns = [_column(frame[name], said.get(name), where=path.name, is_named=features is not None) for name in names]
    found = tuple(column for column in columns if column is not None)
    if not found:
        raise TableError(path.name, found="no number column besides the keys", expected="at least one feature")
    return Schema(
        columns=found,
        label=Label(label, definition=definition),
        company=company,
        period=period,
        institution=institution,
        split=split,
        incumbent=incumbent,
        amount=amount,
        size=size,
        sector=sector,
        region=region,
        stratum=stratum,
        lineage={"file": path.name},
    )


def read_kinds(path: Path) -> dict[str, dict[str, Any]]:
    """What a YAML or JSON file says of columns, by name; see `kinds` of `infer_schema`.

    Raises:
        TableError: the file cannot be read, or is not a mapping of columns to settings.
    """
    expected = "a YAML or JSON file such as {rate: {kind: ratio, lo: 0, hi: 2}}"
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        found = str(error).splitlines()[0]
        raise TableError(path.name, found=found, expected=expected) from error
    if not isinstance(said, dict) or not all(isinstance(kind, dict) for kind in said.values()):
        raise TableError(path.name, found="no mapping of columns to settings", expected=expected)
    return {str(name): kind for name, kind in said.items()}


def _column(cells: pd.Series, said: Mapping[str, Any] | None, *, where: str, is_named: bool) -> Column | None:
    """What is said of the column, else what its cells show; None for a column of text that nobody named."""
    name, nullable = str(cells.name), bool(cells.isna().any())
    if said is not None:
        try:
            declared: dict[str, Any] = {"nullable": nullable, **said, "levels": tuple(map(str, said.get("levels", ())))}
            return Column(name=name, **declared)
        except TypeError as error:
            fields = ", ".join(field.name for field in dataclasses.fields(Column))
            found = f"settings {', '.join(map(str, said))}"
            raise TableError(f"{where}, column {name!r}", found=found, expected=f"some of {fields}") from error
    if _is_text(cells):
        if not is_named:
            return None
        hint = "declare it: kind: category, levels: [...]"
        raise fault(cells, cells.notna(), where=where, expected="a number", hint=hint)
    found_numbers = numbers(cells, where=where)
    is_flag = bool(found_numbers.dropna().isin([0.0, 1.0]).all())
    return Column(name=name, kind="flag" if is_flag else "amount", nullable=nullable)


def _is_text(cells: pd.Series) -> bool:
    """Whether no cell is a number; a column that mixes both is a number column with faults."""
    if cells.dtype.kind in "fiub":
        return False
    return bool(pd.api.types.is_datetime64_any_dtype(cells) or pd.to_numeric(cells, errors="coerce").isna().all())
