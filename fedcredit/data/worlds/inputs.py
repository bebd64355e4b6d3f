"""Hidden factors become what a company uses: staff and their contributions, power, water, gas."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.data.world import Floats, generator
from fedcredit.data.worlds.block import STREAM, Block
from fedcredit.data.worlds.delivery import monthly, reported
from fedcredit.data.worlds.settings import HISTORY
from fedcredit.data.worlds.signals import share, signal, whole

STAFF = np.array([6, 32, 150])  # median by size class, inside the class limits of 2017
WAGE_CNY = 6_500  # a month; assumption near the national mean of private employers
SOCIAL_RATE, HOUSING_RATE = 0.26, 0.16  # both sides together; common rates
POWER_CNY = np.array([0.03, 0.06, 0.02, 0.01, 0.02, 0.05, 0.02, 0.02])  # of sales, by INDUSTRIES
PRICE_KWH, PRICE_WATER, PRICE_GAS = 0.75, 4.5, 3.6  # CNY
KWH_PER_DEGREE_DAY = 0.0006  # log kWh a degree day
HEATING = np.array([420, 330, 180, 40, 0, 0, 0, 0, 0, 20, 150, 350])
COOLING = np.array([0, 0, 0, 10, 60, 160, 260, 240, 110, 20, 0, 0])


def growing(rng: np.random.Generator, block: Block, name: str) -> Floats:
    """(n, T): the log of a quantity whose yearly growth follows the input factor; 0 in the first observed month."""
    m = block.margin(name)
    z = signal(rng, block.factor("O-C"), block.world.signals)
    path = np.cumsum((m.centre + m.spread * z) / 12, axis=1, dtype=np.float32)
    path += np.float32(0.3 * m.spread) * z
    return path - path[:, HISTORY : HISTORY + 1]


def _heads(block: Block) -> NDArray[np.int64]:
    """(n, months): insured staff, the same people for social insurance and the housing fund."""
    rng = generator(block.settings.seed, STREAM["block"], block.region, 6)
    log_heads = growing(rng, block, "headcount_growth")[:, HISTORY:]
    start = STAFF[block.size] * np.exp(0.5 * rng.standard_normal(len(block)))
    kept = np.sqrt(block.wane[:, HISTORY:])
    return np.asarray(np.maximum(np.rint(start[:, None] * np.exp(log_heads) * kept), 1), dtype=np.int64)


def _pays(rng: np.random.Generator, block: Block) -> Floats:
    """(n, months): share of what is due that is paid; 1 in most months."""
    z = signal(rng, block.factor("O-C")[:, HISTORY:], block.world.signals)
    chance = share(z, block.margin("paid_share")) * block.wane[:, HISTORY:]
    pays = rng.random(chance.shape, dtype=np.float32) < chance
    partly = np.maximum(rng.uniform(-0.5, 0.7, chance.shape), 0)
    return np.where(pays, 1.0, partly).astype(np.float32)


def _contributions(block: Block, table: str, *, heads: str, rate: float) -> pa.Table:
    rng = block.generator(table)
    wage = np.round(WAGE_CNY * np.exp(0.25 * rng.standard_normal((len(block), 1))), -1)
    staff = _heads(block)
    due = whole(staff * wage * rate)
    paid = np.floor(due * _pays(rng, block))
    return monthly(
        rng,
        block,
        table,
        mask=reported(rng, block, table),
        columns={heads: staff, "due_cny": due, "paid_cny": paid},
        revised=["due_cny", "paid_cny"],
    )


def social_security(block: Block) -> pa.Table:
    """S06 of one region."""
    return _contributions(block, "social_security", heads="insured", rate=SOCIAL_RATE)


def housing_fund(block: Block) -> pa.Table:
    """S07 of one region."""
    return _contributions(block, "housing_fund", heads="contributors", rate=HOUSING_RATE)


def weather(block: Block) -> Floats:
    """(T,): degree days of the region's months; each year differs from the usual."""
    rng = generator(block.settings.seed, STREAM["block"], block.region, 7)
    north = rng.uniform(0.2, 1.8)
    usual = north * HEATING[block.settings.calendar] + (2 - north) * COOLING[block.settings.calendar]
    return np.asarray(np.round(usual * np.exp(0.15 * rng.standard_normal(len(usual)))), dtype=np.float32)


def _late_days(rng: np.random.Generator, block: Block) -> NDArray[np.int64]:
    """(n, months): days that the bill was paid late; most are not."""
    weak = np.exp(-0.5 * block.factor("F-C")[:, HISTORY:])
    is_late = rng.random(weak.shape, dtype=np.float32) < 0.06 * weak
    return np.where(is_late, rng.integers(1, 45, weak.shape), 0)


def power(block: Block) -> pa.Table:
    """S08 of one region: falls before a shock's blow; degree days are those of the place."""
    rng = block.generator("power")
    path = growing(rng, block, "power_growth")
    degree = np.broadcast_to(weather(block), path.shape)
    base = block.economy.firms.log_sales[block.firms] + np.log(POWER_CNY[block.industry] / PRICE_KWH)
    base = base + 0.5 * rng.standard_normal(len(block), dtype=np.float32)
    log_kwh = base[:, None] + path + np.float32(KWH_PER_DEGREE_DAY) * degree + 0.5 * np.log(block.season)
    log_kwh -= np.float32(block.world.shocks.power_drop) * block.foreboding
    log_kwh += np.float32(0.06) * rng.standard_normal(path.shape, dtype=np.float32)
    kwh = np.exp(log_kwh) * block.wane
    return monthly(
        rng,
        block,
        "power",
        mask=reported(rng, block, "power"),
        columns={
            "kwh": np.maximum(whole(kwh[:, HISTORY:]), 1),
            "degree_days": degree[:, HISTORY:].astype(np.float64),
            "days_late": _late_days(rng, block),
        },
        revised=["kwh"],
    )


def _metered(
    block: Block, table: str, *, uses: NDArray[np.bool_], every: int, base_cny: Floats, price: float
) -> pa.Table:
    rng = block.generator(table)
    path = growing(rng, block, "power_growth")[:, HISTORY:]
    noise = np.float32(0.12) * rng.standard_normal(path.shape, dtype=np.float32)
    start = base_cny / price * np.exp(0.6 * rng.standard_normal(len(block)))
    used = start[:, None] * np.exp(path + noise) * block.wane[:, HISTORY:] * every
    read = (block.settings.calendar[HISTORY:] + 1) % every == 0
    return monthly(
        rng,
        block,
        table,
        mask=reported(rng, block, table) & uses[:, None] & read,
        columns={"cubic_metres": np.maximum(whole(used), 1), "days_late": _late_days(rng, block)},
        revised=["cubic_metres"],
    )


def water(block: Block) -> pa.Table:
    """S09 of one region: a meter reading every second month."""
    cost = 12.0 * STAFF[block.size] + 0.001 * np.exp(block.economy.firms.log_sales[block.firms])
    everyone = np.ones(len(block), dtype=np.bool_)
    return _metered(block, "water", uses=everyone, every=2, base_cny=cost.astype(np.float32), price=PRICE_WATER)


def gas(block: Block) -> pa.Table:
    """S10 of one region: some of those that make things or cook."""
    rng = generator(block.settings.seed, STREAM["gas"], block.region, 1)
    uses = block.is_of("manufacturing", "catering") & (rng.random(len(block)) < block.world.holders.gas)
    cost = 0.015 * np.exp(block.economy.firms.log_sales[block.firms])
    return _metered(block, "gas", uses=uses, every=1, base_cny=cost.astype(np.float32), price=PRICE_GAS)
