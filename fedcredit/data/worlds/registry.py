"""Companies become business registrations: founded, changed, shares pledged, struck off."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fedcredit.data.sources import source
from fedcredit.data.world import SIZES
from fedcredit.data.worlds.block import Block
from fedcredit.data.worlds.delivery import deliver, words
from fedcredit.data.worlds.events import happen, some_day
from fedcredit.data.worlds.fate import STAYS
from fedcredit.data.worlds.names import company_names, people

CHANGES_A_YEAR, EQUITY_PLEDGES_A_YEAR = 0.08, 0.015
CAPITAL_CNY = (2.0e6, 8.0e6, 4.0e7)  # median by size class; smesd's survivors have 6.1 million over all
DEREGISTERED = 0.6  # of those that have left


def registration(block: Block) -> pa.Table:
    """S01 of one region: founded, later changes, pledges of shares, and the end of most that have left."""
    rng = block.generator("registration")
    n, length = len(block), block.settings.length
    names, chiefs = company_names(rng, region=block.region, industry=block.industry), people(rng, n)
    capital = np.round(np.exp(np.log(CAPITAL_CNY)[block.size] + 1.2 * rng.standard_normal(n)), -4) + 1e4
    first = block.settings.month_starts[0].astype("datetime64[M]") + block.founded
    founded = first.astype("datetime64[D]") + rng.integers(28, size=n)
    after = np.arange(length)[None, :] > block.founded[:, None]
    changed = happen(rng, block, CHANGES_A_YEAR * after)
    pledged = happen(rng, block, EQUITY_PLEDGES_A_YEAR * after)
    end = block.fell + STAYS + rng.integers(1, 7, n)
    gone = np.flatnonzero((end < length) & (rng.random(n) < DEREGISTERED))
    parts = [
        (np.arange(n), founded),
        (changed[0], changed[2]),
        (pledged[0], pledged[2]),
        (gone, some_day(rng, block, end[gone])),
    ]
    who = np.concatenate([part[0] for part in parts])
    kind = np.repeat(np.arange(4), [len(part[0]) for part in parts])
    fields = {f.name: f.levels for f in source("registration").columns}
    return deliver(
        rng,
        block,
        "registration",
        who=who,
        valid_at=np.concatenate([part[1] for part in parts]),
        columns={
            "kind": words(kind, fields["kind"]),
            "name": words(who, names),
            "representative": words(np.where(rng.random(len(who)) < 0.01, -1, who), chiefs),
            "region": words(np.full(len(who), block.region), fields["region"]),
            "industry": words(block.industry[who], fields["industry"]),
            "size_class": words(block.size[who], SIZES),
            "registered_capital_cny": capital[who],
        },
    )
