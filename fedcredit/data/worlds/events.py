"""Yearly rates become dated events of companies: who, in which month, on which day, under which number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.world import Floats
from fedcredit.data.worlds.block import Block
from fedcredit.data.worlds.settings import DIVISION, Days
from fedcredit.data.worlds.signals import signal

Places = NDArray[np.intp]


def happen(
    rng: np.random.Generator, block: Block, rate: NDArray[np.floating], *, since: int = 0
) -> tuple[Places, Places, Days]:
    """Who, when (month) and which day, at a yearly `rate` (n, T): at most one a month, while the company is there."""
    chance = 1 - np.exp(-np.asarray(rate, dtype=np.float32) / 12)
    hit = block.is_there & (rng.random(block.is_there.shape, dtype=np.float32) < chance)
    hit[:, :since] = False
    who, when = np.nonzero(hit)
    return who, when, some_day(rng, block, when)


def some_day(rng: np.random.Generator, block: Block, when: Places) -> Days:
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
        pattern.format(year=year, place=DIVISION + 1 + block.region, serial=serial + 1)
        for serial, year in enumerate(years)
    ]
