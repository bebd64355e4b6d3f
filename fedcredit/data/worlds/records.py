"""Hidden governance and fate become public records: registrations, court cases, penalties, environment, pledges."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.data.sources import source
from fedcredit.data.world import SIZES, Floats
from fedcredit.data.worlds.block import Block
from fedcredit.data.worlds.delivery import deliver, words
from fedcredit.data.worlds.fate import STAYS
from fedcredit.data.worlds.names import company_names, people
from fedcredit.data.worlds.settings import Days
from fedcredit.data.worlds.signals import signal, whole

CASES = ("enforcement", "defaulter_list", "suit_as_defendant")
CASE_SHARES = (0.22, 0.05, 0.73)
LEAST_SEVERITY, MOST_SEVERITY = np.array([3.0, 6.0, 0.5]), np.array([6.0, 10.0, 3.0])  # of CASES
CHANGES_A_YEAR, EQUITY_PLEDGES_A_YEAR = 0.08, 0.015
DEREGISTERED = 0.6  # of those that have left
COLOURS = ("green", "blue", "yellow", "red", "black")
COLOUR_CUTS = (1.3, -1.2, -2.0, -2.6)
PLEDGE_KINDS = ("mortgage", "receivable", "equity", "equipment")
PLEDGE_SHARES = (0.35, 0.4, 0.05, 0.2)

Places = NDArray[np.intp]


def happen(rng: np.random.Generator, block: Block, rate: Floats, *, since: int = 0) -> tuple[Places, Places, Days]:
    """Who, when (month) and which day: at most one event a month, at a yearly `rate` (n, T), while the company is there."""
    chance = 1 - np.exp(-np.asarray(rate, dtype=np.float32) / 12)
    hit = block.is_there & (rng.random(block.is_there.shape, dtype=np.float32) < chance)
    hit[:, :since] = False
    who, when = np.nonzero(hit)
    return who, when, _some_day(rng, block, when)


def _some_day(rng: np.random.Generator, block: Block, when: Places) -> Days:
    first, last = block.settings.month_starts[when], block.settings.month_ends[when]
    length = (last - first).astype(np.int64) + 1
    return np.asarray(first + (rng.random(len(when)) * length).astype(np.int64))


def unruly(rng: np.random.Generator, block: Block) -> Floats:
    """(n, T): factor on the rate of bad records, about 1 on average, large for weak governance."""
    s = np.float32(block.world.records.sensitivity)
    z = signal(rng, block.factor("G-B"), block.world.signals)
    return np.asarray(np.exp(-s * z - s**2 / 2), dtype=np.float32)


def numbers(block: Block, days: Days, pattern: str) -> list[str]:
    """Running numbers of a register by year and region, as "(2024)990001民初123号"."""
    years = days.astype("datetime64[Y]").astype(int) + 1970
    return [
        pattern.format(year=year, place=990_001 + block.region, serial=serial + 1) for serial, year in enumerate(years)
    ]


def registration(block: Block) -> pa.Table:
    """S01 of one region: founded, later changes, pledges of shares, and the end of most that have left."""
    rng = block.generator("registration")
    n, length = len(block), block.settings.length
    names, chiefs = company_names(rng, region=block.region, industry=block.industry), people(rng, n)
    capital = np.round(np.exp(np.log([3e5, 2e6, 1.5e7])[block.size] + 0.8 * rng.standard_normal(n)), -4) + 1e4
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
        (gone, _some_day(rng, block, end[gone])),
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


def judicial(block: Block) -> pa.Table:
    """S04 of one region: suits and enforcement by governance, and what follows a default."""
    rng = block.generator("judicial")
    who, when, day = happen(rng, block, block.world.records.suits * unruly(rng, block))
    kind = rng.choice(len(CASES), size=len(who), p=CASE_SHARES)
    sued = np.flatnonzero(
        (rng.random(len(block)) < block.world.records.arrears_after_default)
        & (block.fell + STAYS < block.settings.length)
    )
    late = block.fell[sued] + rng.integers(0, STAYS + 1, len(sued))
    who, when = np.concatenate([who, sued]), np.concatenate([when, late])
    day = np.concatenate([day, _some_day(rng, block, late)])
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
