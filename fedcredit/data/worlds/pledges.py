"""Loans become registered pledges and mortgages."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fedcredit.data.worlds.block import Block
from fedcredit.data.worlds.delivery import deliver, words
from fedcredit.data.worlds.events import happen, numbers

PLEDGE_KINDS = ("mortgage", "receivable", "equity", "equipment")
PLEDGE_SHARES = (0.35, 0.4, 0.05, 0.2)


def pledges(block: Block) -> pa.Table:
    """S15 of one region: what borrowers gave as security."""
    rng = block.generator("pledges")
    who, when, day = happen(
        rng, block, np.broadcast_to(block.world.records.pledges * block.borrows[:, None] * 1.3, block.is_there.shape)
    )
    kind = rng.choice(len(PLEDGE_KINDS), size=len(who), p=PLEDGE_SHARES)
    return deliver(
        rng,
        block,
        "pledges",
        who=who,
        valid_at=day,
        columns={
            "registration_no": words(np.arange(len(who)), numbers(block, day, "{place}-{year}-{serial:07d}")),
            "kind": words(kind, PLEDGE_KINDS),
            "amount_cny": np.round(block.loan[who, when].astype(np.float64) * rng.uniform(0.3, 1.5, len(who)), -3),
            "expires_at": day + rng.integers(1, 6, len(who)) * 365,
        },
        revised=["amount_cny"],
    )
