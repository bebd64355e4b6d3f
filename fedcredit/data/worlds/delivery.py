"""Facts become the rows that an institution receives: later than they are valid, some twice, some corrected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from fedcredit.data.sources import Source, source
from fedcredit.data.worlds.block import Block
from fedcredit.data.worlds.settings import HISTORY, Days

ARROW = {"number": pa.float64(), "share": pa.float64(), "count": pa.int64(), "flag": pa.bool_(), "date": pa.date32()}
WORD = pa.dictionary(pa.int32(), pa.string())
HOUR_US = 3_600_000_000
HOURS_A_DAY = 24


@cache
def schema(table: str) -> pa.Schema:
    """Arrow schema of a raw table of the synthetic economy.

    >>> schema("gas").names, str(schema("gas").field("known_at").type)
    (['company', 'valid_at', 'known_at', 'cubic_metres', 'days_late'], 'timestamp[us]')
    """
    own = [(f.name, ARROW.get(f.type, WORD)) for f in source(table).columns]
    return pa.schema([("company", WORD), ("valid_at", pa.date32()), ("known_at", pa.timestamp("us")), *own])


def words(codes: ArrayLike, levels: Sequence[str]) -> pa.Array:
    """A text column from the places of its words; place -1 is a missing cell.

    A word stands once in the dictionary: Parquet writes a column out in full when one stands twice, and these pages
    are not the same bytes from one writing to the next.

    >>> words([2, -1, 0, 1], ["a", "b", "a"]).dictionary.to_pylist()
    ['a', 'b']
    """
    place, each = np.asarray(codes, dtype=np.int32), pa.array(levels, pa.string()).dictionary_encode()
    first = each.indices.to_numpy()[place]
    return pa.DictionaryArray.from_arrays(pa.array(first, mask=place < 0), each.dictionary)


def silent(rng: np.random.Generator, block: Block, table: str) -> NDArray[np.bool_]:
    """(n,): companies of which this source never says anything."""
    return np.asarray(rng.random(len(block)) < block.world.missing[table])


def reported(rng: np.random.Generator, block: Block, table: str) -> NDArray[np.bool_]:
    """(n, months): observed months with a row: the company is there, the source knows it, the month is not lost."""
    there = block.is_there[:, HISTORY:] & ~silent(rng, block, table)[:, None]
    return np.asarray(there & (rng.random(there.shape, dtype=np.float32) >= block.world.delivery.missing_months))


def monthly(
    rng: np.random.Generator,
    block: Block,
    table: str,
    *,
    mask: NDArray[np.bool_],
    columns: Mapping[str, NDArray[np.generic] | pa.Array],
    revised: Sequence[str] = (),
) -> pa.Table:
    """Rows of the observed months where `mask` (n, months) is set; the arrays of `columns` have its shape."""
    who, when = np.nonzero(mask)
    cells = {name: values[mask] if isinstance(values, np.ndarray) else values for name, values in columns.items()}
    return deliver(
        rng, block, table, who=who, valid_at=block.settings.month_ends[HISTORY + when], columns=cells, revised=revised
    )


def deliver(
    rng: np.random.Generator,
    block: Block,
    table: str,
    *,
    who: NDArray[np.integer],
    valid_at: Days,
    columns: Mapping[str, NDArray[np.generic] | pa.Array],
    revised: Sequence[str] = (),
) -> pa.Table:
    """The raw table of one region; a correction moves the columns `revised` by one factor, and is known later."""
    w = block.world.delivery
    n = len(who)
    kind = source(table)
    known_at = _known(rng, valid_at, kind, block)
    made = pa.table(
        {
            "company": pa.DictionaryArray.from_arrays(pa.array(who.astype(np.int32)), block.names),
            "valid_at": pa.array(valid_at.astype("datetime64[D]")),
            "known_at": pa.array(known_at),
        }
        | {name: _column(values, schema(table).field(name).type) for name, values in columns.items()}
    ).select(schema(table).names)
    again = np.flatnonzero(rng.random(n, dtype=np.float32) < w.duplicate_share)
    fixed = np.flatnonzero(rng.random(n, dtype=np.float32) < w.correction_share) if revised else again[:0]
    later = known_at[fixed] + (rng.integers(10 * HOURS_A_DAY, 60 * HOURS_A_DAY, len(fixed)) * HOUR_US).astype("m8[us]")
    corrected = _set(made.take(fixed), "known_at", pa.array(later))
    change = np.exp(w.correction_size * rng.standard_normal(len(fixed)))
    for name in revised:
        cells = corrected[name]
        moved = pc.multiply(cells.cast(pa.float64()), pa.array(change))
        corrected = _set(corrected, name, pc.round(moved).cast(cells.type))
    return pa.concat_tables([made, made.take(again), corrected]).cast(schema(table))


def _known(rng: np.random.Generator, valid_at: Days, kind: Source, block: Block) -> NDArray[np.datetime64]:
    """The hour in which a row comes in: the source's usual delay, and a tail of late ones."""
    w = block.world.delivery
    n = len(valid_at)
    days = np.exp(np.float32(w.delay_spread) * rng.standard_normal(n, dtype=np.float32))
    days *= np.float32(kind.delay_days * w.delay_factor)
    is_late = rng.random(n, dtype=np.float32) < w.late_share
    days[is_late] += rng.exponential(w.late_days, int(is_late.sum())).astype(np.float32)
    hours = (days * HOURS_A_DAY).astype(np.int64) + HOURS_A_DAY
    return np.asarray(valid_at.astype("datetime64[us]") + (hours * HOUR_US).astype("m8[us]"))


def _column(values: NDArray[np.generic] | pa.Array, kind: pa.DataType) -> pa.Array:
    if not isinstance(values, np.ndarray):
        return values
    if pa.types.is_floating(kind):
        return pa.array(values.astype(np.float64), from_pandas=True)
    if pa.types.is_dictionary(kind):
        return pa.array(values.tolist(), pa.string()).dictionary_encode()
    return pa.array(values).cast(kind)


def _set(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)
