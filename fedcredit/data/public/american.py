"""Yearly statements of listed US companies become 18 amounts and 19 ratios for each company and year.

The ratios are those of Altman (1968) and Ohlson (1980) as far as the 18 variables carry them. Their ranges are fixed
here, from what the ratio can mean and not from the rows, so that nothing is fitted on private data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcredit.data.schema import Column, Label, Schema, Table
from fedcredit.data.transforms import choose

AMOUNTS = (
    "current_assets",
    "total_assets",
    "cost_of_goods_sold",
    "total_long_term_debt",
    "depreciation_and_amortization",
    "ebit",
    "ebitda",
    "gross_profit",
    "inventory",
    "total_current_liabilities",
    "net_income",
    "retained_earnings",
    "total_receivables",
    "total_revenue",
    "market_value",
    "total_liabilities",
    "net_sales",
    "total_operating_expenses",
)

# name: (numerator, denominator, lo, hi)
RATIOS: Mapping[str, tuple[str, str, float, float]] = {
    "working_capital_to_assets": ("working_capital", "total_assets", -2.0, 1.0),
    "retained_earnings_to_assets": ("retained_earnings", "total_assets", -5.0, 2.0),
    "ebit_to_assets": ("ebit", "total_assets", -2.0, 1.0),
    "market_value_to_liabilities": ("market_value", "total_liabilities", 0.0, 5.0),
    "sales_to_assets": ("net_sales", "total_assets", 0.0, 5.0),
    "net_income_to_assets": ("net_income", "total_assets", -2.0, 1.0),
    "liabilities_to_assets": ("total_liabilities", "total_assets", 0.0, 3.0),
    "current_ratio": ("current_assets", "total_current_liabilities", 0.0, 5.0),
    "quick_ratio": ("quick_assets", "total_current_liabilities", 0.0, 5.0),
    "receivables_to_sales": ("total_receivables", "net_sales", 0.0, 2.0),
    "inventory_to_sales": ("inventory", "net_sales", 0.0, 2.0),
    "cost_of_goods_to_sales": ("cost_of_goods_sold", "net_sales", 0.0, 3.0),
    "gross_margin": ("gross_profit", "net_sales", -2.0, 1.0),
    "operating_expenses_to_sales": ("total_operating_expenses", "net_sales", 0.0, 5.0),
    "net_margin": ("net_income", "net_sales", -5.0, 1.0),
    "long_term_debt_to_assets": ("total_long_term_debt", "total_assets", 0.0, 2.0),
    "ebitda_to_liabilities": ("ebitda", "total_liabilities", -3.0, 3.0),
    "cash_flow_to_liabilities": ("cash_flow", "total_liabilities", -3.0, 3.0),
    "depreciation_to_assets": ("depreciation_and_amortization", "total_assets", 0.0, 0.5),
}

COLUMNS = (
    *(Column(name, "amount", unit="million USD") for name in AMOUNTS),
    *(Column(name, "ratio", lo=lo, hi=hi) for name, (_, _, lo, hi) in RATIOS.items()),
)

# An unlisted company has no market value: the no-market track passes these as `columns`.
NO_MARKET = tuple(column.name for column in COLUMNS if not column.name.startswith("market_value"))

LABEL = Label(
    column="status",
    definition="bankruptcy",
    performance_window="12 months after the last statement",
    cure="none",
    censoring="survivors are followed to 2018",
    acceptance="all",
)


def read(name: str, files: Mapping[str, Path], *, columns: Sequence[str] | None = None) -> Table:
    """One row a company and year; `split` is the file that the row came from."""
    parts = [
        pd.read_csv(files[f"{name[-1]}_{split}_for_LSTM.csv"]).assign(split=split)
        for split in ("train", "validation", "test")
    ]
    frame = pd.concat(parts, ignore_index=True).astype({"fyear": "int64", "cik": "str"})
    parts_of_ratios = frame.assign(
        working_capital=frame["current_assets"] - frame["total_current_liabilities"],
        quick_assets=frame["current_assets"] - frame["inventory"],
        cash_flow=frame["net_income"] + frame["depreciation_and_amortization"],
    )
    for ratio, (numerator, denominator, lo, hi) in RATIOS.items():
        frame[ratio] = divide(
            parts_of_ratios[numerator].to_numpy(), parts_of_ratios[denominator].to_numpy(), lo=lo, hi=hi
        )
    schema = Schema(
        columns=choose(COLUMNS, columns, where=name),
        label=LABEL,
        company="cik",
        period="fyear",
        split="split",
        size="total_assets",
        stratum="fyear",
        lineage={"dataset": name},
    )
    keys = ["cik", "fyear", "split", "status", "total_assets"]
    return Table(frame[list(dict.fromkeys([*keys, *schema.features]))], schema)


def divide(
    numerator: NDArray[np.float64], denominator: NDArray[np.float64], *, lo: float, hi: float
) -> NDArray[np.float64]:
    """A ratio within lo..hi: x / 0 is the bound on the side of x, and 0 / 0 is 0.

    >>> divide(np.array([1.0, -1.0, 0.0, 3.0]), np.array([0.0, 0.0, 0.0, 2.0]), lo=-2, hi=5).tolist()
    [5.0, -2.0, 0.0, 1.5]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where((numerator == 0) & (denominator == 0), 0.0, numerator / denominator)
    return np.clip(ratio, lo, hi)
