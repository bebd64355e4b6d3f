"""Sales, cash and fate become bank flows by bank and month: the days past due of a default are written here."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.data.world import Floats, ar1
from fedcredit.data.worlds.block import Block
from fedcredit.data.worlds.delivery import deliver, reported, words
from fedcredit.data.worlds.population import NO_BANK
from fedcredit.data.worlds.settings import HISTORY
from fedcredit.data.worlds.signals import signal, whole
from fedcredit.data.worlds.trade import on_time

MARGIN_OF_FLOWS = 0.06  # mean net inflow / sales, assumption; what is left over goes to other accounts
MAIN_SHARE = 0.7  # of the business of a company that has two banks
DEFAULT_DAYS = 90


def bank(block: Block) -> pa.Table:
    """S12 of one region: one row a company, month and bank."""
    rng = block.generator("bank")
    firms = block.economy.firms
    mains, seconds = firms.bank[block.firms], firms.second_bank[block.firms]
    mask = reported(rng, block, "bank")
    inflow, outflow = _flows(rng, block)
    balance = block.buffer_days[:, HISTORY:] * block.sales[:, HISTORY:] * (12 * 0.95 / 365)
    loan = block.loan[:, HISTORY:] * block.is_there[:, HISTORY:]
    settled = np.round(on_time(rng, block), 3)
    settled[rng.random(settled.shape, dtype=np.float32) < 0.03] = np.nan  # months with nothing to settle
    late = days_past_due(rng, block)
    has_second = seconds != NO_BANK
    part = np.where(has_second, MAIN_SHARE, 1.0).astype(np.float32)

    tables = []
    for banks, weight, rows, days in (
        (mains, part, mask, late),
        # The second bank sees the arrears a month later.
        (seconds, 1 - part, mask & has_second[:, None], np.pad(late, ((0, 0), (1, 0)))[:, :-1]),
    ):
        who, when = np.nonzero(rows)
        share = weight[who]
        owed = whole(share * loan[rows])
        tables.append(
            deliver(
                rng,
                block,
                "bank",
                who=who,
                valid_at=block.settings.month_ends[HISTORY + when],
                columns={
                    "bank": words(banks[who], [f"bank-{k + 1:02d}" for k in range(block.settings.banks)]),
                    "inflow_cny": whole(share * inflow[rows]),
                    "outflow_cny": whole(share * outflow[rows]),
                    "balance_cny": whole(share * balance[rows]),
                    "loan_cny": owed,
                    "interest_cny": whole(owed * block.loan_rate[who] / 12),
                    "on_time_share": settled[rows],
                    "days_past_due": days[rows],
                },
                revised=["inflow_cny"],
            )
        )
    return pa.concat_tables(tables, promote_options="none").unify_dictionaries()


def _flows(rng: np.random.Generator, block: Block) -> tuple[Floats, Floats]:
    """Inflow follows sales; the net inflow swings around its mean by the company's volatility."""
    z = signal(rng, block.factor("F-C")[:, HISTORY:], block.world.signals)
    m = block.margin("cf_volatility")
    swing = np.clip(m.centre * np.exp(-m.spread * z), 0.05, 6) * ar1(rng, z.shape, persistence=0.1)
    net = MARGIN_OF_FLOWS * block.level[:, HISTORY:] * (1 + swing)
    inflow = block.sales[:, HISTORY:] * np.exp(np.float32(0.05) * rng.standard_normal(z.shape, dtype=np.float32))
    inflow = np.maximum(inflow, net)
    return inflow, inflow - net


def days_past_due(rng: np.random.Generator, block: Block) -> NDArray[np.int64]:
    """(n, months): 30, 60, 90 and more around a default; short delays that are made good, more often of the weak."""
    months = block.settings.months
    weak = np.exp(-0.6 * (block.factor("F-A") + block.factor("F-C"))[:, HISTORY:])
    slips = rng.random((len(block), months), dtype=np.float32) < block.world.records.late_payments * weak
    late = np.where(slips, rng.integers(1, 59, (len(block), months)), 0)
    month = np.arange(HISTORY, HISTORY + months)
    since = month - block.fell[:, None]
    climbing = DEFAULT_DAYS + 30 * since + rng.integers(0, 9, (len(block), 1))
    return np.where(since >= -2, np.clip(climbing, 0, 3650), late)
