"""A column's usual size tells a value, or a whole file, that is in another unit."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcredit.data.hub.typed import Mask
from fedcredit.data.sources import COMPANY, VALID_AT, Field, Source
from fedcredit.errors import TableError

OFF = 50.0  # units differ by 100 or more; a value that far from a company's own median is no growth
FEWEST = 4  # values of a company, below which its median may be the wrong one's
FEWEST_OF_FILE, FEWEST_COMPANIES = 30, 30
SLACK = 30.0  # how far outside `usual` the median may lie where companies are few, or the map names the column's unit
FACTORS = (100, 1_000, 10_000, 1_000_000, 100_000_000)
MONEY = {1_000: "千元", 10_000: "万元", 1_000_000: "百万元", 100_000_000: "亿元"}


def company_medians(rows: pd.DataFrame, source: Source) -> pd.DataFrame:
    """By company, for each steady column: the median of its values above 0, first and last day of a like value.

    A company with fewer than four values is left out of the column.
    """
    companies, codes = rows[COMPANY].cat.categories, rows[COMPANY].cat.codes.to_numpy()
    parts: dict[str, pd.Series] = {}
    for name in steady(source):
        values = rows[name].where(rows[name] > 0)
        group = values.groupby(codes)
        median = group.median().where(group.count() >= FEWEST).reindex(range(len(companies)))
        own = np.append(median.to_numpy(), np.nan)[codes]
        days = rows[VALID_AT].where((values > own / OFF) & (values < own * OFF)).groupby(codes)
        parts |= {name: median, f"{name} from": days.min(), f"{name} until": days.max()}
    return pd.DataFrame(parts, index=range(len(companies))).set_axis(companies)


def off_scale(rows: pd.DataFrame, field: Field, medians: pd.DataFrame) -> Mask:
    """Where a value is 50 times its company's median or more, or a fiftieth or less between two like the median.

    A fall at the end of a company's rows is left alone: it may be the company that fails. So is a rise from nothing.
    Values of 0 are left alone too.
    """
    companies = rows[COMPANY].cat
    place = np.append(medians.index.get_indexer(companies.categories), -1)[companies.codes]
    own, first, last = (
        np.append(medians[f"{field.name}{part}"].to_numpy(), [missing])[place]
        for part, missing in (("", np.nan), (" from", np.datetime64("NaT")), (" until", np.datetime64("NaT")))
    )
    values, days = rows[field.name].to_numpy(), rows[VALID_AT].to_numpy()
    is_between = (days > first) & (days < last)
    return np.asarray((values >= own * OFF) | ((values > 0) & (values <= own / OFF) & is_between), dtype=bool)


def steady(source: Source) -> list[str]:
    """Columns whose values keep their size from month to month."""
    return [field.name for field in source.columns if field.steady]


def refuse_other_unit(
    values: NDArray[np.float64],
    field: Field,
    *,
    table: str,
    where: str,
    companies: int,
    told: float | None = None,
) -> None:
    """Refuse a file whose column has its median outside `usual`, naming the likely factor.

    `told` is by what the map has multiplied the values: whoever names the unit is believed further.

    >>> from fedcredit.data.sources import source
    >>> kwh = source("power").columns[0]
    >>> refuse_other_unit(np.full(50, 0.3), kwh, table="power", where="power.csv", companies=50)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    fedcredit.errors.TableError: power.csv, column 'kwh': found values about 10,000 times too small, expected a ...
    hint: it looks like another unit; sources.map.yaml: tables: power: units: {kwh: 10000}
    """
    values = np.abs(values[np.isfinite(values) & (values != 0)])
    if field.usual is None or len(values) < FEWEST_OF_FILE:
        return
    lo, hi = field.usual
    median, centre = float(np.median(values)), float(np.sqrt(lo * hi))
    may_be_right = lo / SLACK <= median <= hi * SLACK
    if lo <= median <= hi or (may_be_right and (told is not None or companies < FEWEST_COMPANIES)):
        return
    is_small = median < lo
    factor = min(FACTORS, key=lambda one: abs(np.log(median * (one if is_small else 1 / one) / centre)))
    is_money = field.name.endswith("_cny") and (is_small or factor == 100)
    unit = ("分" if not is_small else MONEY.get(factor, "")) if is_money else ""
    multiply = (told or 1.0) * (factor if is_small else 1 / factor)
    as_it_is = f", or {{{field.name}: 1}} if right as it is" if may_be_right else ""
    raise TableError(
        f"{where}, column {field.name!r}",
        found=f"values about {factor:,} times too {'small' if is_small else 'large'}",
        expected=f"a median of {lo:g} to {hi:g}",
        hint=f"it looks like {unit or 'another unit'}; sources.map.yaml: tables: {table}: units: "
        f"{{{field.name}: {multiply:.12g}}}{as_it_is}",
    )
