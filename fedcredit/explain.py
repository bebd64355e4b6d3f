"""A model bundle and a table become the reasons for each company's grade: attribution, ranking and changes in one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcredit.credit.fields import Field, fields_of, typical_for
from fedcredit.credit.reasons import Reasons, find_reasons
from fedcredit.credit.scale import MASTER, MasterScale
from fedcredit.data.features import PRESENT, make_windows
from fedcredit.data.indicators import Direction
from fedcredit.data.schema import Schema, Table
from fedcredit.errors import ConfigError, ModelError
from fedcredit.models.attribution import attribute, columns_of, typical_inputs
from fedcredit.models.bundle import Bundle, in_one_split
from fedcredit.models.calibrated import calibrate, expit
from fedcredit.models.what_if import WhatIf

FEWEST = 20  # companies whose medians may stand for a typical one: of fewer, a median tells of a single company
ROW = "row of the table"
UP: Direction = "up"
DOWN: Direction = "down"

Typical = Mapping[str, float | str]


@dataclass(frozen=True)
class Explained:
    """Reasons of the scored companies, in the order of `scores` (company, period, pd, grade, model_version).

    factors and by_factor (n, factors): exact contributions of those factors, of a model that has them, that read
    no column above the viewer's level. typical_pd: of the company that all are compared with.
    """

    scores: pd.DataFrame
    reasons: Reasons
    typical_pd: float
    factors: tuple[str, ...]
    by_factor: NDArray[np.float64]


def explain(
    bundle: Bundle,
    table: Table,
    *,
    typical: Typical | None = None,
    company: str | None = None,
    level: int = 3,
    most: int = 5,
    top: int = 3,
    scale: MasterScale = MASTER,
) -> Explained:
    """Why each company of the table, or the one named, has its grade; for a viewer of level `level`.

    typical: the values that reasons compare with, the dictionary's where none are given. A change is one
    of the last period, all else as it is.

    Raises:
        ModelError: the table is not of the model's schema, or a column has no typical value.
        ConfigError: no such company or level.
    """
    return explain_levels(
        bundle, table, levels=(level,), typical=typical, company=company, most=most, top=top, scale=scale
    )[0]


def explain_levels(
    bundle: Bundle,
    table: Table,
    *,
    levels: Sequence[int],
    typical: Typical | None = None,
    company: str | None = None,
    most: int = 5,
    top: int = 3,
    scale: MasterScale = MASTER,
) -> list[Explained]:
    """What `explain` says to a viewer of each level, in their order; the contributions are computed once.

    Raises:
        ModelError: as of `explain`. ConfigError: as of `explain`.
    """
    schema = table.schema
    if schema.sha256 != bundle.schema.sha256:
        found, expected = f"schema {schema.sha256[:12]}", f"{bundle.schema.sha256[:12]}, which the model learnt from"
        raise ModelError("table to explain", found=found, expected=expected)
    frame = _only(table, company).assign(**{ROW: lambda kept: np.arange(len(kept))})
    windows = make_windows(in_one_split(Table(frame, replace(schema, stratum=ROW))), length=bundle.time)
    columns = columns_of(schema, windows.features)
    compared = typical_for(schema) if typical is None else typical
    model = bundle.model()
    parts = attribute(model, windows.x, columns=columns, typical=typical_inputs(schema, compared, windows.features))

    def calibrated(logit: NDArray[np.float64]) -> NDArray[np.float64]:
        return calibrate(expit(logit), bundle.calibration)

    what_if = WhatIf(model, windows.x, schema, windows.features, parts.logit)

    def pd_at(name: str) -> Callable[[NDArray[np.intp], NDArray[np.float64]], NDArray[np.float64]]:
        logit_at = what_if.of(name)
        return lambda rows, values: calibrated(logit_at(rows, values))

    values = frame.iloc[windows.about["stratum"].to_numpy(dtype=np.intp)][list(schema.features)]
    has_history = PRESENT in columns
    if has_history:
        values = values.assign(**{PRESENT: windows.x[:, :, columns.index(PRESENT)].sum(axis=1)})
        compared = {**compared, PRESENT: float(bundle.time)}
    better, owners = _directions(bundle, columns)
    fields = fields_of(schema, better=better, factors=owners, has_history=has_history)
    p = calibrated(parts.logit)
    scores = pd.DataFrame(
        {
            "company": windows.company,
            "period": windows.about["period"] if schema.period else None,
            "pd": p,
            "grade": scale.names(p),
            "model_version": bundle.version,
        }
    )
    typical_pd = float(calibrated(np.array([parts.typical_logit]))[0])

    def seen_at(level: int) -> Explained:
        reasons = find_reasons(
            fields=fields,
            values=values,
            typical=compared,
            shares=parts.shares,
            pd_now=p,
            place=scale.place,
            grades=[grade.name for grade in scale.grades],
            pd_at=pd_at,
            monotone=better,
            level=level,
            most=most,
            top=top,
        )
        shown = _shown(bundle, columns, fields, level=level)
        factors = tuple(name for name, is_shown in zip(parts.factors, shown, strict=True) if is_shown)
        return Explained(scores, reasons, typical_pd, factors, parts.by_factor[:, np.flatnonzero(shown)])

    return [seen_at(level) for level in levels]


def medians(table: Table) -> dict[str, float | str]:
    """The typical values of a table's own rows: the median of each column, of a category the most frequent value.

    They are learnt from the rows: say so where they are shown, and keep them where the rows are.

    Raises:
        ConfigError: fewer than 20 companies, or a column without a value.
    """
    companies = table.frame[table.schema.company].nunique()
    if companies < FEWEST:
        hint = "hand in typical values as a file"
        raise ConfigError("typical", found=f"a table of {companies} companies", expected=f"{FEWEST} or more", hint=hint)
    found: dict[str, float | str] = {}
    for column in table.schema.columns:
        cells = table.frame[column.name].dropna()
        if cells.empty:
            raise ConfigError(f"typical, column {column.name!r}", found="no value in any row", expected="one or more")
        is_text = column.kind in ("category", "month")
        found[column.name] = cells.mode().iloc[0] if is_text else float(cells.astype("float64").median())
    return found


def can_compare(schema: Schema) -> bool:
    """Whether the dictionary has a typical value for each column of the table."""
    return set(schema.features) <= set(typical_for(schema))


def _only(table: Table, company: str | None) -> pd.DataFrame:
    if company is None:
        return table.frame
    frame = table.frame[table.frame[table.schema.company].astype("str") == company]
    if frame.empty:
        raise ConfigError("company", found="a company that the table does not have", expected="one of the table's")
    return frame.reset_index(drop=True)


def _directions(bundle: Bundle, columns: tuple[str, ...]) -> tuple[dict[str, Direction], dict[str, str]]:
    """Which way the model itself is bound to, and its factor, of each column."""
    better: dict[str, Direction] = {}
    owners: dict[str, str] = {}
    owner = dict(zip(bundle.inputs, columns, strict=True))
    for factor in bundle.settings.resolved(bundle.inputs).factors:
        better.update(dict.fromkeys(factor.up, UP))
        better.update(dict.fromkeys(factor.down, DOWN))
        owners |= {owner[name]: factor.name for name in factor.inputs}
    return {name: way for name, way in better.items() if name in bundle.schema.features}, owners


def _shown(bundle: Bundle, columns: tuple[str, ...], fields: tuple[Field, ...], *, level: int) -> list[bool]:
    """Of each factor, whether the viewer may see every column that it reads: else the rest would tell of it."""
    levels = {field.name: field.level for field in fields}
    owner = dict(zip(bundle.inputs, columns, strict=True))
    factors = bundle.settings.resolved(bundle.inputs).factors
    return [all(levels[owner[name]] <= level for name in factor.inputs) for factor in factors]
