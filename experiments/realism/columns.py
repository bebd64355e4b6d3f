"""A public set, or an economy's raw tables, become the columns that both have, by the same formulas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from fedcredit.data.datasets import load

# name: (numerator, denominator, times) over items that a statement of a year has in both
RATIOS: Mapping[str, tuple[str, str, float]] = {
    "debt_ratio": ("liabilities", "assets", 1),
    "current_ratio": ("current_assets", "current_liabilities", 1),
    "roa": ("ebit", "assets", 1),
    "net_margin": ("net_profit", "revenue", 1),
    "ar_turn_days": ("receivables", "revenue", 365),
    "inv_turn_days": ("inventory", "cost", 365),
    "asset_turnover": ("revenue", "assets", 1),
    "cost_share": ("cost", "revenue", 1),
}
AMERICAN_ITEMS = {
    "liabilities": "total_liabilities",
    "assets": "total_assets",
    "current_assets": "current_assets",
    "current_liabilities": "total_current_liabilities",
    "ebit": "ebit",
    "net_profit": "net_income",
    "revenue": "net_sales",
    "receivables": "total_receivables",
    "inventory": "inventory",
    "cost": "cost_of_goods_sold",
}
STOCKS = ("liabilities", "total_assets", "current_assets", "current_liabilities", "receivables", "inventory")
FLOWS = ("ebit", "net_profit", "revenue", "cost")
REGISTERED = 10_000.0  # SMEsD counts registered capital in 10,000 CNY


def ratios(items: pd.DataFrame) -> pd.DataFrame:
    """The ratios of yearly items; a division by zero is missing.

    >>> ratios(pd.DataFrame({name: [2.0] for name in AMERICAN_ITEMS}))["ar_turn_days"].tolist()
    [365.0]
    """
    found = {
        name: times * items[top] / items[bottom].where(items[bottom] > 0)
        for name, (top, bottom, times) in RATIOS.items()
    }
    return pd.DataFrame(found).replace([np.inf, -np.inf], np.nan)


def american(mirror: Path | None = None) -> pd.DataFrame:
    """The last statement of each company of american_w4: ratios, `split`, `y` (failed within a year)."""
    frame = load("american_w4", mirror=mirror).frame.sort_values("fyear").drop_duplicates("cik", keep="last")
    items = pd.DataFrame({name: frame[column].astype(float) for name, column in AMERICAN_ITEMS.items()})
    return ratios(items).assign(split=frame["split"], y=frame["status"].astype(int))


def synthetic(folder: Path, as_of: str) -> pd.DataFrame:
    """The year to `as_of` of each company of an economy that lives then: ratios, `y` (defaults within a year)."""
    raw, truth = folder / "raw" / "tax.parquet", folder / "truth" / "hazard.parquet"
    items = ", ".join(
        [f"arg_max({name}_cny, valid_at) AS {name.removeprefix('total_')}" for name in STOCKS]
        + [f"sum({name}_cny) AS {name}" for name in FLOWS]
    )
    frame = duckdb.execute(
        f"""WITH newest AS (
              SELECT * FROM read_parquet($raw)
              WHERE valid_at > $as_of::DATE - INTERVAL 12 MONTH AND valid_at <= $as_of::DATE
              QUALIFY row_number() OVER (PARTITION BY company, valid_at ORDER BY known_at DESC) = 1),
            yearly AS (SELECT company, {items} FROM newest GROUP BY company HAVING count(*) = 4)
            SELECT yearly.*, hazard, coalesce(defaulted_at <= $as_of::DATE + INTERVAL 1 YEAR, false)::INTEGER AS y
            FROM yearly JOIN read_parquet($truth) AS truth USING (company) WHERE month = $as_of::DATE ORDER BY company
            """,  # noqa: S608 (columns are constants of this file)
        {"raw": str(raw), "truth": str(truth), "as_of": as_of},
    ).df()
    return ratios(frame.astype(dict.fromkeys([*FLOWS], float))).assign(y=frame["y"], hazard=frame["hazard"])


def small_companies(folder: Path, as_of: str, mirror: Path | None = None) -> dict[str, tuple[pd.Series, pd.Series]]:
    """What a registry, the courts and the SBA say of small companies: by name, the public and the synthetic values."""
    smesd, sba = load("smesd", mirror=mirror).frame, load("sba", mirror=mirror).frame
    survivors = smesd[smesd["bankrupt"] == 0]
    capital = _sql(folder, "SELECT any_value(registered_capital_cny) FROM registration GROUP BY company", as_of)
    cases = _sql(
        folder,
        "SELECT count(case_no) FROM (SELECT DISTINCT company FROM registration) LEFT JOIN judicial USING (company)"
        " GROUP BY company",
        as_of,
    )
    staff = _sql(folder, "SELECT arg_max(insured, valid_at) FROM social_security GROUP BY company", as_of)
    return {
        "registered_capital_cny, smesd survivors": (survivors["registered_capital"] * REGISTERED, capital),
        "lawsuits, smesd survivors": (survivors["lawsuits"], cases),
        "employees, sba": (sba["NoEmp"], staff),
    }


def _sql(folder: Path, query: str, as_of: str) -> pd.Series:
    """One column of the rows that were about a day up to `as_of`."""
    with duckdb.connect() as connection:
        for table in ("registration", "judicial", "social_security"):
            path = folder / "raw" / f"{table}.parquet"
            rows = f"SELECT * FROM read_parquet('{path}') WHERE valid_at <= DATE '{as_of}'"  # noqa: S608
            connection.execute(f"CREATE VIEW {table} AS {rows}")
        return connection.execute(query).df().iloc[:, 0].astype(float)
