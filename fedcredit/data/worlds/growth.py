"""Hidden innovation and growth become patents, technology titles, and public contracts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fedcredit.data.sources import source
from fedcredit.data.worlds.block import Block
from fedcredit.data.worlds.delivery import deliver, words
from fedcredit.data.worlds.events import happen, numbers
from fedcredit.data.worlds.settings import HISTORY
from fedcredit.data.worlds.signals import signal

INNOVATORS = ("manufacturing", "software", "services")
PATENT_SHARES = (0.25, 0.55, 0.20)  # invention, utility model, design
PATENT_YEARS = np.array(
    [20, 10, 15]
)  # term of protection, Patent Law of 2020, from filing; counted from the grant here
TITLE_YEARS = 3  # for which a title is given
TITLE_MONTH = 10  # November
SUBSIDY_CNY = (50_000, 200_000, 500_000)
WIN_SLOPE = 1.2  # logit of winning a bid per standard score of growth
GRANT_SPREAD = 0.7  # log rate of grants per size class


def patents(block: Block) -> pa.Table:
    """S11 of one region, from the start of the history on."""
    rng = block.generator("patents")
    m = block.margin("patent_rate")
    holds = block.is_of(*INNOVATORS) & (rng.random(len(block)) < block.world.holders.patents)
    z = signal(rng, block.factor("G-A"), block.world.signals)
    rate = m.centre * np.exp(m.spread * z + GRANT_SPREAD * (block.size - 0.5)[:, None]) * holds[:, None]
    who, _, day = happen(rng, block, rate)
    kind = rng.choice(3, size=len(who), p=PATENT_SHARES)
    return deliver(
        rng,
        block,
        "patents",
        who=who,
        valid_at=day,
        columns={
            "grant_no": words(np.arange(len(who)), numbers(block, day, "ZL{year}{place}{serial:06d}")),
            "kind": words(kind, source("patents").columns[1].levels),
            "expires_at": day + PATENT_YEARS[kind] * 365,
        },
    )


def titles(block: Block) -> pa.Table:
    """S17 of one region: every third November a company is judged anew; a higher title includes the lower ones."""
    rng = block.generator("titles")
    n = len(block)
    m = block.margin("tech_title")
    november = np.flatnonzero(block.settings.calendar == TITLE_MONTH)
    november = november[november >= TITLE_MONTH]
    z = signal(rng, block.factor("G-A")[:, november], block.world.signals)
    reach = np.floor(np.clip((z - m.centre) / m.spread + 1, 0, 3)).astype(np.int64)
    reach *= block.is_of(*INNOVATORS)[:, None]
    turn = (np.arange(len(november))[None, :] + rng.integers(TITLE_YEARS, size=n)[:, None]) % TITLE_YEARS == 0
    judged = turn & block.is_there[:, november] & (november[None, :] - block.founded[:, None] >= 12)
    parts = [np.nonzero(judged & (reach > title)) for title in range(3)]
    who = np.concatenate([part[0] for part in parts])
    when = november[np.concatenate([part[1] for part in parts])]
    title = np.repeat(np.arange(3), [len(part[0]) for part in parts])
    day = block.settings.month_ends[when]
    return deliver(
        rng,
        block,
        "titles",
        who=who,
        valid_at=day,
        columns={
            "title": words(title, source("titles").columns[0].levels),
            "expires_at": day + TITLE_YEARS * 365,
            "subsidy_cny": np.asarray(SUBSIDY_CNY)[title] * rng.choice([0.0, 0.5, 1.0], size=len(who)),
        },
    )


def procurement(block: Block) -> pa.Table:
    """S14 of one region: bids of those that bid at all; wins follow the growth factor."""
    rng = block.generator("procurement")
    m, w = block.margin("procure_win"), block.world.records
    bids = rng.random(len(block)) < block.world.holders.bidder
    z = signal(rng, block.factor("G-C"), block.world.signals)
    who, when, day = happen(rng, block, np.broadcast_to(w.bids * bids[:, None], z.shape), since=HISTORY - 12)
    push = z[who, when]
    is_won = rng.random(len(who)) < 1 / (1 + np.exp(0.4 - WIN_SLOPE * push))
    yearly = 12 * block.level[who, when]
    amount = m.centre * yearly * np.exp(m.spread * (0.7 * push + 0.7 * rng.standard_normal(len(who)))) / (0.4 * w.bids)
    return deliver(
        rng,
        block,
        "procurement",
        who=who,
        valid_at=day,
        columns={
            "bid_no": words(np.arange(len(who)), numbers(block, day, "ZB-{place}-{year}-{serial:06d}")),
            "is_won": is_won,
            "amount_cny": np.maximum(np.round(amount.astype(np.float64), -2), 100),
        },
        revised=["amount_cny"],
    )
