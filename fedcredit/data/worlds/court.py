"""Hidden governance and fate become court records."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fedcredit.data.worlds.block import Block
from fedcredit.data.worlds.delivery import deliver, words
from fedcredit.data.worlds.events import happen, numbers, some_day, unruly
from fedcredit.data.worlds.fate import STAYS
from fedcredit.data.worlds.signals import whole

CASES = ("enforcement", "defaulter_list", "suit_as_defendant")
CASE_SHARES = (0.22, 0.05, 0.73)
LEAST_SEVERITY, MOST_SEVERITY = np.array([3.0, 6.0, 0.5]), np.array([6.0, 10.0, 3.0])  # of CASES


def judicial(block: Block) -> pa.Table:
    """S04 of one region: suits and enforcement by governance, and what follows a default."""
    rng = block.generator("judicial")
    who, when, day = happen(rng, block, block.world.records.suits * unruly(rng, block))
    kind = rng.choice(len(CASES), size=len(who), p=CASE_SHARES)
    sued = np.flatnonzero(
        (rng.random(len(block)) < block.world.records.arrears_after_default)
        & (block.fell + STAYS < block.settings.length)
    )
    late = block.fell[sued] + rng.integers(1, STAYS + 1, len(sued))
    who, when = np.concatenate([who, sued]), np.concatenate([when, late])
    day = np.concatenate([day, some_day(rng, block, late)])
    kind = np.concatenate([kind, rng.integers(0, 2, len(sued))])
    severity = rng.uniform(LEAST_SEVERITY[kind], MOST_SEVERITY[kind])
    amount = block.level[who, np.maximum(when - 2, 0)] * np.exp(rng.normal(-0.5, 1.0, len(who)))
    return deliver(
        rng,
        block,
        "judicial",
        who=who,
        valid_at=day,
        columns={
            "case_no": words(np.arange(len(who)), numbers(block, day, "({year}){place}民初{serial}号")),
            "kind": words(kind, CASES),
            "amount_cny": whole(amount),
            "severity": np.round(severity, 1),
        },
        revised=["amount_cny"],
    )
