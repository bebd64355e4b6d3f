"""Hidden factors become tax filings with statements that balance: stocks from days and ratios, flows from sales."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.data.world import Floats
from fedcredit.data.worlds.block import Block
from fedcredit.data.worlds.delivery import deliver, silent, words
from fedcredit.data.worlds.signals import events, signal, whole

QUARTER_ENDS = (2, 5, 8, 11)
GRADES = ("A", "B", "M", "C", "D")
GRADE_CUTS = (0.9, -0.6, -1.6)  # standard scores above which a filing is graded A, B, C; the rest is D
NEW_MONTHS = 12  # a new company has grade M
TAX_RATE_OF_INDUSTRY = (0.4, 1.0, 1.1, 0.7, 1.0, 0.9, 1.3, 1.2)  # times the world's, of INDUSTRIES; assumption
NO_STOCKS = ("software", "services")
RESEARCHES = ("manufacturing", "software", "services")
INCOME_TAX = 0.05  # effective rate of small low-profit companies in China, 2023-2027
MOST_MARGIN = 0.5  # EBIT / revenue


@dataclass(frozen=True)
class Quarter:
    """Signals of statement indicators (n, quarters), drawn one after the other from one stream."""

    rng: np.random.Generator
    block: Block
    at: NDArray[np.intp]

    def z(self, factor: str) -> Floats:
        """Standard scores of an indicator of this factor."""
        return signal(self.rng, self.block.factor(factor)[:, self.at], self.block.world.signals)

    def log(self, name: str, z: Floats, *, lo: float, hi: float) -> Floats:
        """A quantity with a lognormal margin."""
        m = self.block.margin(name)
        return np.asarray(np.clip(m.centre * np.exp(np.float32(m.spread) * z), lo, hi), dtype=np.float32)

    def inner(self, factor: str) -> Floats:
        """Departure from an optimum, to a side that a company keeps; larger for a bad factor."""
        side = self.rng.standard_normal((len(self.block), 1), dtype=np.float32)
        return np.asarray(side * np.exp(-0.5 * self.z(factor)))


def tax(block: Block) -> pa.Table:
    """S02 of one region, from the first quarter of the history on."""
    rng = block.generator("tax")
    settings = block.settings
    at = np.flatnonzero(np.isin(settings.calendar, QUARTER_ENDS) & (np.arange(settings.length) >= 2))
    q = Quarter(rng, block, at)
    mask = block.is_there[:, at] & ~silent(rng, block, "tax")[:, None]
    mask &= rng.random(mask.shape, dtype=np.float32) >= block.world.delivery.missing_months
    columns = _statement(q) | _tax(q)
    who, when = np.nonzero(mask)
    cells = {name: whole(values[mask]) for name, values in columns.items()}
    cells["inventory_cny"][block.is_of(*NO_STOCKS)[who]] = np.nan
    cells["rd_cny"][~_researches(block)[who]] = np.nan
    return deliver(
        rng,
        block,
        "tax",
        who=who,
        valid_at=settings.month_ends[at[when]],
        columns=cells | {"grade": words(_grades(q)[mask], GRADES)},
        revised=[*cells],
    )


def _statement(q: Quarter) -> dict[str, Floats]:
    block, rng = q.block, q.rng
    revenue, year = _revenue(block, q.at)
    has_stocks = ~block.is_of(*NO_STOCKS)[:, None]
    cost_share = block.normal(rng, "cost_share", lo=0.3, hi=0.92)[:, None]
    stress = np.exp(np.float32(block.world.shocks.inventory_rise) * block.foreboding[:, q.at])

    receivables = q.log("ar_turn_days", -q.z("F-B"), lo=1, hi=900) * year / 365
    inventory = has_stocks * q.log("inv_turn_days", -q.z("F-B"), lo=1, hi=900) * stress * cost_share * year / 365
    cash = block.buffer_days[:, q.at] * 0.95 * year / 365
    advances = rng.uniform(1.03, 1.3, (len(block), 1)).astype(np.float32)  # and other current assets
    current_assets = (receivables + inventory + cash) * advances
    turnover = q.log("asset_turnover", rng.standard_normal((len(block), 1), dtype=np.float32), lo=0.2, hi=5)
    assets = np.maximum(year / turnover, current_assets / 0.95)
    liabilities = np.maximum(block.debt_ratio[:, q.at] * assets, 1.05 * block.loan[:, q.at])
    m = block.margin("current_ratio")
    # Away from the optimum to a side of its own, and more often below it where solvency is bad.
    wanted = np.clip(m.centre + m.spread * (q.inner("F-A") + 0.5 * q.z("F-A")), 0.15, 15)
    current_liabilities = np.minimum(current_assets / wanted, 0.97 * liabilities)

    m = block.margin("roa")
    ebit = np.clip((m.centre + m.spread * q.z("F-B")) * assets / 4, -2 * revenue, MOST_MARGIN * revenue)
    cost = np.minimum(cost_share * revenue, 0.97 * revenue - ebit)
    cost = np.maximum(cost, 0)
    expenses = revenue - cost - ebit
    interest = block.loan[:, q.at] * block.loan_rate[:, None] / 4
    m = block.margin("net_margin")
    other_income = (m.centre + m.spread * q.z("F-B")) * revenue
    before_tax = ebit - interest + other_income
    m = block.margin("cash_debt_cover")
    cover = m.centre + m.spread * (q.z("F-A") + 0.3 * rng.standard_normal(revenue.shape, dtype=np.float32))
    research = np.minimum(q.log("rd_intensity", q.z("G-A"), lo=0, hi=1) * revenue, 0.9 * expenses)
    return {
        "revenue_cny": revenue,
        "cost_cny": cost,
        "operating_expenses_cny": expenses,
        "ebit_cny": ebit,
        "interest_cny": interest,
        "net_profit_cny": before_tax - INCOME_TAX * np.maximum(before_tax, 0),
        "operating_cash_flow_cny": cover * current_liabilities / 4,
        "total_assets_cny": assets,
        "current_assets_cny": current_assets,
        "cash_cny": cash,
        "receivables_cny": receivables,
        "inventory_cny": inventory,
        "liabilities_cny": liabilities,
        "current_liabilities_cny": current_liabilities,
        "rd_cny": research,
    }


def _tax(q: Quarter) -> dict[str, Floats]:
    block = q.block
    revenue, year = _revenue(block, q.at)
    m = block.margin("tax_rate")
    usual = m.centre * np.asarray(TAX_RATE_OF_INDUSTRY, dtype=np.float32)[block.industry][:, None]
    rate = usual * np.clip(1 + m.spread * q.inner("F-C"), 0.02, 4)
    due = rate * revenue
    overdue = np.minimum(events(-q.z("F-C"), block.margin("tax_arrears_ratio")), 0.95) * rate * year
    newly = np.maximum(np.diff(overdue, axis=1, prepend=overdue[:, :1]), 0)
    return {"tax_due_cny": due, "tax_paid_cny": np.maximum(due - newly, 0), "tax_overdue_cny": overdue}


def _revenue(block: Block, at: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Of the quarter, and of the year to its end; a younger company's months stand for a year."""
    summed = np.cumsum(block.sales, axis=1, dtype=np.float64)
    padded = np.concatenate([np.zeros((len(block), 1)), summed], axis=1)
    quarter = padded[:, at + 1] - padded[:, at - 2]
    begin = np.maximum(at - 11, 0)
    months = np.clip(np.minimum(at[None, :] - begin + 1, at[None, :] - block.founded[:, None] + 1), 1, 12)
    year = (padded[:, at + 1] - padded[:, begin]) * 12 / months
    return quarter.astype(np.float32), year.astype(np.float32)


def _researches(block: Block) -> NDArray[np.bool_]:
    rng = np.random.default_rng(block.generator("tax").integers(2**62))
    return np.asarray(block.is_of(*RESEARCHES) & (rng.random(len(block)) < block.world.holders.research))


def _grades(q: Quarter) -> NDArray[np.int64]:
    """Place in GRADES."""
    z = q.z("F-C")
    place = np.select([z > cut for cut in GRADE_CUTS], [0, 1, 3], default=4)
    is_new = q.at[None, :] - q.block.founded[:, None] < NEW_MONTHS
    return np.where(is_new & (place < 3), 2, place)
