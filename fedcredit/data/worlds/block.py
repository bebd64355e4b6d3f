"""The companies of one region, with all that several tables need: factors, sales by month, when they are there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.data.sources import sources
from fedcredit.data.world import INDUSTRIES, Floats, generator
from fedcredit.data.worlds.fate import Economy
from fedcredit.data.worlds.sections import FACTORS, Margin
from fedcredit.data.worlds.settings import HISTORY, WorldSettings
from fedcredit.data.worlds.signals import signal
from fedcredit.data.worlds.world import World

# Share of the year's height that an industry's season takes, and its strongest month (0 January); assumption.
SEASON_STRENGTH = np.array([1.6, 0.7, 1.2, 1.0, 0.8, 1.0, 0.6, 0.7], dtype=np.float32)  # of INDUSTRIES
SEASON_PEAK = np.array([9, 10, 9, 11, 10, 0, 11, 11])
RAMP_MONTHS = 6.0  # a new company reaches 63 % of its sales
STREAM = {source.table: 20 + number for number, source in enumerate(sources())} | {
    "block": 10,
    "reports": 60,
    "demand": 62,
}


@dataclass(frozen=True)
class Block:
    """Companies `firms` of the economy; arrays (n, T) have all months, the history first, (n, months) the observed."""

    economy: Economy
    region: int
    firms: slice
    codes: NDArray[np.str_]  # of all companies of the economy

    @property
    def settings(self) -> WorldSettings:
        """Settings of the economy."""
        return self.economy.settings

    @property
    def world(self) -> World:
        """Parameters of the economy."""
        return self.economy.world

    def __len__(self) -> int:
        return int(self.firms.stop - self.firms.start)

    def generator(self, table: str) -> np.random.Generator:
        """The random stream of a table in this region."""
        return generator(self.settings.seed, STREAM[table], self.region)

    @cached_property
    def names(self) -> pa.Array:
        """Codes of the companies of the block."""
        return pa.array(self.codes[self.firms].tolist())

    @cached_property
    def path(self) -> Floats:
        """(9, n, T)"""
        return np.ascontiguousarray(self.economy.path[:, :, self.firms].transpose(1, 2, 0))

    def factor(self, name: str) -> Floats:
        """(n, T) of one of the nine."""
        return np.asarray(self.path[FACTORS.index(name)])

    @cached_property
    def industry(self) -> NDArray[np.int16]:
        """Place in INDUSTRIES."""
        return self.economy.firms.industry[self.firms]

    def is_of(self, *industries: str) -> NDArray[np.bool_]:
        """Whether each company is of one of these industries."""
        return np.isin(self.industry, [INDUSTRIES.index(name) for name in industries])

    @cached_property
    def size(self) -> NDArray[np.int16]:
        """0 micro, 1 small, 2 medium."""
        return self.economy.firms.size[self.firms]

    @cached_property
    def founded(self) -> NDArray[np.int32]:
        """Month from the start of the history."""
        return self.economy.firms.founded[self.firms]

    @cached_property
    def fell(self) -> NDArray[np.int32]:
        """Month of default from the start of the history, or beyond all months."""
        return self.economy.defaulted[self.firms] + HISTORY

    @cached_property
    def is_there(self) -> NDArray[np.bool_]:
        """(n, T): founded, and not yet gone after a default."""
        month = np.arange(self.settings.length)
        left = self.economy.left[self.firms] + HISTORY
        return np.asarray((month >= self.founded[:, None]) & (month < left[:, None]))

    @cached_property
    def wane(self) -> Floats:
        """(n, T): activity left after a default, 1 before it."""
        since = np.arange(self.settings.length) - self.fell[:, None] + 1
        return np.asarray(self.world.activity.collapse ** np.maximum(since, 0), dtype=np.float32)

    @cached_property
    def foreboding(self) -> Floats:
        """(n, T): how much of a shock shows."""
        shown = np.zeros((len(self), self.settings.length), dtype=np.float32)
        shown[:, HISTORY:] = self.economy.foreboding(self.firms)
        return shown

    @cached_property
    def level(self) -> Floats:
        """(n, T): a month's sales without season and noise, in CNY."""
        w = self.world.activity
        growth = w.growth + w.growth_spread * self.factor("G-C") + w.growth_trading * self.factor("O-A")
        log_level = np.cumsum(growth / 12, axis=1, dtype=np.float32)
        log_level -= log_level[:, HISTORY - 1 : HISTORY]
        log_level += self.economy.firms.log_sales[self.firms, None] + np.float32(w.level_trading) * self.factor("O-A")
        log_level -= np.float32(self.world.shocks.invoice_drop) * self.foreboding
        age = np.maximum(np.arange(self.settings.length) - self.founded[:, None] + 1, 0)
        return np.asarray(np.exp(log_level) * -np.expm1(-age / RAMP_MONTHS) * self.wane, dtype=np.float32)

    @cached_property
    def season(self) -> Floats:
        """(n, T): factor of the month of the year; spring festival lowers January or February for all."""
        peak = SEASON_PEAK[self.industry][:, None]
        wave = np.cos((self.settings.calendar - peak) * (np.pi / 6)) * SEASON_STRENGTH[self.industry][:, None]
        wave = wave - 1.0 * (self.settings.calendar == 1)
        return np.asarray(np.exp(self.world.activity.season * wave), dtype=np.float32)

    @cached_property
    def sales(self) -> Floats:
        """(n, T): a month's sales in CNY."""
        rng = self.generator("block")
        noise = np.exp(np.float32(self.world.activity.noise) * rng.standard_normal(self.level.shape, dtype=np.float32))
        return np.asarray(self.level * self.season * noise)

    @cached_property
    def borrows(self) -> NDArray[np.bool_]:
        """Whether the company has loans: a fact that its bank and its statements share."""
        chance = generator(self.settings.seed, STREAM["block"], self.region, 1).random(len(self))
        return np.asarray(chance < self.world.holders.loan)

    @cached_property
    def loan(self) -> Floats:
        """(n, T): loans outstanding in CNY; zero without a loan."""
        rng = generator(self.settings.seed, STREAM["block"], self.region, 2)
        share = self.normal(rng, "loan_share", lo=0.1, hi=0.8)[:, None]
        yearly = np.asarray(12 * self.level / np.maximum(self.wane, np.float32(1e-3)), dtype=np.float32)
        debt = np.clip(self.debt_ratio, 0.15, None) / np.float32(self.margin("asset_turnover").centre)
        return np.asarray(self.borrows[:, None] * share * debt * _smooth(yearly), dtype=np.float32)

    @cached_property
    def loan_rate(self) -> Floats:
        """(n,): interest a year."""
        rng = generator(self.settings.seed, STREAM["block"], self.region, 3)
        return self.normal(rng, "loan_rate", lo=0.02, hi=0.15)

    @cached_property
    def debt_ratio(self) -> Floats:
        """(n, T): liabilities / assets."""
        rng = generator(self.settings.seed, STREAM["block"], self.region, 4)
        m = self.margin("debt_ratio")
        z = signal(rng, self.factor("F-A"), self.world.signals)
        return np.asarray(np.clip(m.centre - m.spread * z, 0.05, 2.5), dtype=np.float32)

    @cached_property
    def buffer_days(self) -> Floats:
        """(n, T): days of spending that cash covers, at the bank and in the statements."""
        rng = generator(self.settings.seed, STREAM["block"], self.region, 5)
        m = self.margin("cash_buffer_days")
        z = signal(rng, self.factor("F-C"), self.world.signals)
        return np.asarray(np.clip(m.centre * np.exp(m.spread * z), 0.5, 600), dtype=np.float32)

    def margin(self, name: str) -> Margin:
        """Centre and spread of a quantity."""
        return self.world.margins[name]

    def normal(self, rng: np.random.Generator, name: str, *, lo: float, hi: float) -> Floats:
        """(n,): a quantity that a company keeps."""
        m = self.margin(name)
        drawn = m.centre + m.spread * rng.standard_normal(len(self), dtype=np.float32)
        return np.asarray(np.clip(drawn, lo, hi), dtype=np.float32)


def _smooth(values: Floats, persistence: float = 0.9) -> Floats:
    """Stocks follow flows slowly."""
    out = values.copy()
    for month in range(1, out.shape[1]):
        out[:, month] = persistence * out[:, month - 1] + (1 - persistence) * values[:, month]
    # A company that is not yet founded has no flow to remember.
    return np.asarray(np.where(values > 0, np.maximum(out, 0.2 * values), 0), dtype=np.float32)
