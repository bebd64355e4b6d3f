"""Companies' needs and institutions' products become a financing market: what is asked for, what is offered."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fedcredit.data.world import INDUSTRIES, generator
from fedcredit.data.worlds.block import Block
from fedcredit.data.worlds.delivery import words
from fedcredit.data.worlds.settings import HISTORY, WorldSettings
from fedcredit.data.worlds.world import World

PURPOSES = ("working_capital", "equipment", "inventory", "expansion", "refinancing", "research")
PURPOSE_SHARES = (0.45, 0.15, 0.15, 0.10, 0.10, 0.05)
TENORS = np.array([3, 6, 12, 24, 36, 60])
TENOR_SHARES = (0.10, 0.20, 0.40, 0.15, 0.10, 0.05)
PRODUCTS = ("working capital loan", "equipment loan", "receivables finance", "technology loan", "mortgage loan")
INSURANCE = ("credit guarantee insurance", "trade credit insurance")
GRADES = ("A", "BBB", "BB", "B", "CCC")  # rating floors of products, fedcredit's master scale
OFFERS_STREAM = 61


def demand(block: Block) -> pa.Table:
    """Requests of one region: more often of companies with little cash, for some months of sales."""
    rng = block.generator("demand")
    w = block.world.market
    thin = np.exp(-0.3 * block.factor("F-C")[:, HISTORY:])
    month = np.arange(HISTORY, block.settings.length)
    asks = block.is_there[:, HISTORY:] & (month < block.fell[:, None])
    asks &= rng.random(thin.shape, dtype=np.float32) < w.demand * thin
    who, when = np.nonzero(asks)
    sales = block.level[who, HISTORY + when].astype(np.float64)
    amount = np.maximum(np.round(w.amount * sales * np.exp(0.6 * rng.standard_normal(len(who))), -4), 10_000)
    return pa.table(
        {
            "company": pa.DictionaryArray.from_arrays(pa.array(who.astype(np.int32)), block.names),
            "month": pa.array(block.settings.month_ends[HISTORY + when]),
            "amount_cny": pa.array(amount),
            "tenor_months": pa.array(TENORS[rng.choice(len(TENORS), size=len(who), p=TENOR_SHARES)]),
            "purpose": words(rng.choice(len(PURPOSES), size=len(who), p=PURPOSE_SHARES), PURPOSES),
            "has_collateral": pa.array(rng.random(len(who)) < 0.25 + 0.15 * block.size[who]),
        }
    )


def offers(settings: WorldSettings, world: World) -> pa.Table:
    """Products of all institutions: whom they are for, at what rate, and how much of them there is.

    >>> from fedcredit.data.worlds.world import read_world
    >>> offers(WorldSettings(banks=2), read_world("default"))["institution"].to_pylist()[-1]
    'insurer-12'
    """
    rng = generator(settings.seed, OFFERS_STREAM)
    insurers = round(world.market.insurers)
    banks = [(f"bank-{k + 1:02d}", PRODUCTS) for k in range(settings.banks)]
    rows = []
    for institution, pool in [*banks, *((f"insurer-{k + 1:02d}", INSURANCE) for k in range(insurers))]:
        homes = rng.permutation(settings.regions)[: max(1, round(settings.regions * rng.uniform(0.1, 1)))]
        for product in rng.permutation(len(pool))[: rng.integers(1, len(pool) + 1)]:
            floor = int(rng.integers(len(GRADES)))
            least = float(np.round(10 ** rng.uniform(4, 5.5), -4))
            sectors = rng.random(len(INDUSTRIES)) < 0.7
            rows.append(
                {
                    "institution": institution,
                    "product": pool[product],
                    "least_cny": max(least, 10_000.0),
                    "most_cny": float(np.round(least * 10 ** rng.uniform(1, 2.5), -4)),
                    "most_tenor_months": int(rng.choice(TENORS[2:])),
                    "rate": round(0.034 + 0.008 * floor + rng.uniform(0, 0.01), 4),
                    "regions": [f"region-{k + 1:02d}" for k in sorted(homes.tolist())],
                    "sectors": [name for name, is_in in zip(INDUSTRIES, sectors, strict=True) if is_in],
                    "needs_collateral": bool(rng.random() < 0.4 or pool[product] == "mortgage loan"),
                    "least_age_years": int(rng.choice([0, 1, 2, 3])),
                    "rating_floor": GRADES[floor],
                    # A month's capacity; together about what companies ask for in a month.
                    "capacity_cny": float(np.round(settings.companies * 10 ** rng.uniform(2.6, 3.6), -4)),
                }
            )
    return pa.Table.from_pylist(rows)
