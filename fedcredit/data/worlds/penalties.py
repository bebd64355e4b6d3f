"""Hidden governance becomes administrative penalties, environmental ratings, and emissions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fedcredit.data.sources import source
from fedcredit.data.worlds.block import Block
from fedcredit.data.worlds.delivery import deliver, words
from fedcredit.data.worlds.events import happen, numbers, unruly
from fedcredit.data.worlds.signals import signal

COLOURS = ("green", "blue", "yellow", "red", "black")
COLOUR_CUTS = (1.3, -1.2, -2.0, -2.6)


def penalties(block: Block) -> pa.Table:
    """S18 of one region."""
    rng = block.generator("penalties")
    who, _, day = happen(rng, block, block.world.records.penalties * unruly(rng, block))
    severity = np.minimum(0.5 + rng.exponential(1.5, len(who)), 10)
    return deliver(
        rng,
        block,
        "penalties",
        who=who,
        valid_at=day,
        columns={
            "decision_no": words(np.arange(len(who)), numbers(block, day, "{place}罚决字〔{year}〕{serial}号")),
            "severity": np.round(severity, 1),
            "amount_cny": np.round(severity * np.exp(rng.normal(8.5, 0.8, len(who))), -2),
        },
        revised=["amount_cny"],
    )


def environment(block: Block) -> pa.Table:
    """S13 of one region: penalties as they come, ratings and emissions at the end of each year."""
    rng = block.generator("environment")
    n = len(block)
    is_rated = block.is_of("agriculture", "manufacturing", "construction")
    is_rated &= rng.random(n) < block.world.holders.regulated
    bad = unruly(rng, block) * is_rated[:, None]
    who, _, day = happen(rng, block, block.world.records.penalties * bad)
    penalty = pa.table(_rows(len(who)) | {"severity": np.round(np.minimum(rng.exponential(2, len(who)) + 0.5, 10), 1)})

    at = np.flatnonzero(block.settings.calendar == 11)
    z = signal(rng, block.factor("G-B")[:, at], block.world.signals)
    colour = np.select([z > cut for cut in COLOUR_CUTS], [0, 1, 2, 3], default=4)
    rated = block.is_there[:, at] & is_rated[:, None]
    emits = rated & (rng.random(n) < 0.4)[:, None]
    tonnes = block.level[:, at] * 12 / 1e4 * 1.2 * np.exp(0.5 * rng.standard_normal((n, 1)))
    allowance = tonnes * np.exp(0.12 * rng.standard_normal(tonnes.shape) + 0.05 * z)
    year_end = block.settings.month_ends[at]
    colours = words(colour[rated], COLOURS)
    rating = pa.table(_rows(int(rated.sum()), kind=1)).set_column(2, "colour", colours)
    emission = pa.table(
        _rows(int(emits.sum()), kind=2)
        | {"emissions_t": np.round(tonnes[emits], 1), "allowance_t": np.round(allowance[emits], 1)}
    )
    rows = pa.concat_tables([penalty, rating, emission]).combine_chunks()
    return deliver(
        rng,
        block,
        "environment",
        who=np.concatenate([who, np.nonzero(rated)[0], np.nonzero(emits)[0]]),
        valid_at=np.concatenate([day, year_end[np.nonzero(rated)[1]], year_end[np.nonzero(emits)[1]]]),
        columns={name: rows[name] for name in rows.column_names},
    )


def _rows(n: int, kind: int = 0) -> dict[str, object]:
    """Columns of `environment` for n rows of one kind, empty where only another kind has a value."""
    return {
        "kind": words(np.full(n, kind), source("environment").columns[0].levels),
        "severity": np.zeros(n),
        "colour": words(np.full(n, -1), COLOURS),
        "emissions_t": pa.nulls(n, pa.float64()),
        "allowance_t": pa.nulls(n, pa.float64()),
    }
