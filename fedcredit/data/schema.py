"""What a table says of itself: its columns, label, keys and lineage, as kept in `table.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from fedcredit.errors import ConfigError, TableError
from fedcredit.strict import build

SCHEMA_VERSION = 1
LATER_ROLES = ("region",)  # which tables and models from before the role do not name

Kind = Literal["amount", "ratio", "number", "flag", "category", "month", "raw"]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True)
class Column:
    """One feature column, and the fixed transform that turns it into model inputs (see `features.transform`).

    kind: `amount` sign(x) * log1p(|x|) / 3; `ratio` clipped to lo..hi, divided by `scale`; `number` lo..hi mapped to
    -1..1; `flag` 0 or 1; `category` one column a level, another value is all zeros; `month` sine and cosine of the
    month 1..12; `raw` as it is.
    `level` is the JR/T 0197-2020 level 1..5; `nullable` adds a missing-indicator input.
    """

    name: str
    kind: Kind = "amount"
    unit: str = ""
    level: int = 3
    indicator: str | None = None
    lo: float | None = None
    hi: float | None = None
    scale: float = 1.0
    levels: tuple[str, ...] = ()
    nullable: bool = False

    def __post_init__(self) -> None:
        where = f"column {self.name!r}"
        if self.kind not in KINDS:
            raise TableError(where, found=f"kind {self.kind!r}", expected=f"one of {', '.join(KINDS)}")
        if self.kind in ("ratio", "number") and (self.lo is None or self.hi is None or not self.lo < self.hi):
            raise TableError(
                where,
                found=f"lo={self.lo}, hi={self.hi}",
                expected="lo < hi",
                hint="a fixed range is public knowledge; do not fit it on the rows",
            )
        if self.kind == "category" and not self.levels:
            raise TableError(
                where, found="no levels", expected="the list of the category's values", hint="levels: [A, B, C]"
            )


@dataclass(frozen=True)
class Label:
    """The outcome that is predicted; institutions whose definitions differ are not mixed in a study."""

    column: str
    definition: str = "unstated"
    performance_window: str = "unstated"
    cure: str = "unstated"
    censoring: str = "unstated"
    acceptance: Literal["all", "accepted", "unstated"] = "unstated"


@dataclass(frozen=True)
class Schema:
    """Columns, label and keys of a table. Keys name columns of the frame; None where the table has no such column.

    `incumbent` is a score or PD that the institution already uses; `amount` a loan amount; `size`, `sector` and
    `region` are the groups that reports break down by; `stratum` (for example the calendar year) is used for
    stratified AUC.
    """

    columns: tuple[Column, ...]
    label: Label
    company: str
    period: str | None = None
    institution: str | None = None
    split: str | None = None
    incumbent: str | None = None
    amount: str | None = None
    size: str | None = None
    sector: str | None = None
    region: str | None = None
    stratum: str | None = None
    lineage: Mapping[str, str] = field(default_factory=dict)
    dictionary_sha256: str | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the feature columns, in model order."""
        return tuple(column.name for column in self.columns)

    @property
    def sha256(self) -> str:
        """Digest of what must be equal at all institutions: columns, transforms and label definition."""
        agreed = {"columns": [asdict(c) for c in self.columns], "label": asdict(self.label)}
        return hashlib.sha256(json.dumps(agreed, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """The content of `table.json`; a role of LATER_ROLES only where the table has it.

        So a table without one is described by the same bytes as before there was such a role.
        """
        said = {name: value for name, value in asdict(self).items() if name not in LATER_ROLES or value is not None}
        return {"schema": SCHEMA_VERSION, **said, "lineage": dict(self.lineage), "schema_sha256": self.sha256}


def read_schema(path: Path) -> Schema:
    """The schema that a `table.json` holds.

    Raises:
        TableError: the file cannot be read, or is not a table.json of this version.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        version, digest = raw.pop("schema"), raw.pop("schema_sha256")
    except (OSError, ValueError, KeyError, AttributeError):
        raise TableError(
            str(path), found="no table.json", expected="the file that stands beside data.parquet"
        ) from None
    try:
        schema = build(Schema, raw, where=path.name)
    except ConfigError as fault:
        raise TableError(fault.where, found=fault.found, expected=fault.expected, hint=fault.hint) from None
    if version != SCHEMA_VERSION or digest != schema.sha256:
        raise TableError(str(path), found="another version or digest", expected=f"schema {SCHEMA_VERSION}, unchanged")
    return schema


@dataclass(frozen=True)
class Table:
    """A checked frame and its schema; one row a company, or one a company and period."""

    frame: pd.DataFrame
    schema: Schema
