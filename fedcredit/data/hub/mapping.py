"""sources.map.yaml says how a folder's own files, columns and units become those of sources.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from fedcredit.data.sources import Source, sources
from fedcredit.errors import ConfigError, TableError
from fedcredit.strict import build

MAP = "sources.map.yaml"
MOST_BYTES = 2**20


@dataclass(frozen=True)
class TableMap:
    """One table's own names.

    `columns` {ours: theirs}, `units` {ours: what theirs is multiplied by}, `values` {ours: {theirs: ours}} for
    categories. Without known_at, a row is taken to be known `delay_days` after its day.
    """

    file: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, float] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    delay_days: int | None = None
    encoding: str | None = None


@dataclass(frozen=True)
class FolderMap:
    """The maps of a folder's tables, by the names of sources.yaml."""

    tables: Mapping[str, TableMap] = field(default_factory=dict)


def read_map(folder: Path) -> Mapping[str, TableMap]:
    """The maps that the folder's sources.map.yaml holds, none where there is no such file.

    Raises:
        TableError: it cannot be read, or names a table, column or word that there is not.
    """
    path = folder / MAP
    if not path.exists():
        return {}
    try:
        if path.stat().st_size > MOST_BYTES:
            raise TableError(MAP, found="a file above 1 MiB", expected="a page of YAML")
        raw = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        tables = raw.get("tables") if isinstance(raw, Mapping) else None
        if not isinstance(tables, Mapping) or set(raw) != {"tables"}:
            raise TableError(MAP, found="no group `tables` alone", expected="tables: {power: {columns: {...}}}")
        return {str(name): _table(str(name), said) for name, said in tables.items()}
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise TableError(MAP, found="no YAML in UTF-8", expected="tables: {power: {columns: {...}}}") from None
    except ConfigError as fault:
        raise TableError(fault.where, found=fault.found, expected=fault.expected, hint=fault.hint) from None


def _table(name: str, said: Any) -> TableMap:
    known = {one.table: one for one in sources()}
    if name not in known:
        raise TableError(f"{MAP}, tables", found=f"{name!r}", expected=f"one of {', '.join(known)}")
    if isinstance(said, Mapping) and isinstance(said.get("units"), Mapping):
        said = {**said, "units": {key: _number(value) for key, value in said["units"].items()}}
    made = build(TableMap, said or {}, where=f"{MAP}, {name}")
    names = [column.name for column in known[name].fields]
    for group in ("columns", "units", "values"):
        for column in getattr(made, group):
            if column not in names:
                raise TableError(f"{MAP}, {name}, {group}", found=f"{column!r}", expected=f"one of {', '.join(names)}")
    if made.file is not None and Path(made.file).name != made.file:
        raise TableError(f"{MAP}, {name}, file", found="a path", expected="the name of a file in the folder")
    return made


def _number(value: Any) -> Any:
    """YAML reads 1e4 as text."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def renamed(cells: pd.DataFrame, source: Source, said: TableMap) -> pd.DataFrame:
    """The cells under our names, in our units and words; other columns are left out.

    >>> from fedcredit.data.sources import source
    >>> own = TableMap(columns={"cubic_metres": "用气量"}, units={"cubic_metres": 10_000.0})
    >>> renamed(pd.DataFrame({"用气量": ["1.5", "?"], "note": ["", ""]}), source("gas"), own)["cubic_metres"].tolist()
    [15000.0, '?']
    """
    made = {}
    for column in source.fields:
        theirs = said.columns.get(column.name, column.name)
        if theirs in cells.columns:
            own = cells[theirs]
            if column.name in said.values:
                own = own.map(lambda cell, words=said.values[column.name]: words.get(str(cell).strip(), cell))
            if column.name in said.units:
                number = pd.to_numeric(own, errors="coerce") * said.units[column.name]
                own = number.astype(object).where(number.notna(), own)
            made[column.name] = own
    return pd.DataFrame(made, index=cells.index)
