"""Settings of an economy become its calendar: a history before the first observed month, then those observed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.worlds.world import World, draw, read_world
from fedcredit.errors import ConfigError

HISTORY = 36  # months before the first observed one, for statements, patents and court records
DIVISION = 990_000  # + the region: divisions of GB/T 2260 that no place has
REGIONS = 28

Days = NDArray[np.datetime64]


@dataclass(frozen=True)
class WorldSettings:
    """What an economy is made from; equal settings give equal bytes with the same versions of numpy and pyarrow.

    `world` is a name (default, calm, harsh, null) or the path of a world file; with `drawn`, every parameter comes
    from its range by that number. `seed` draws the companies. `companies` counts all that ever live in the `months`
    that end with `last_month`.
    """

    seed: int = 1
    companies: int = 6000
    months: int = 36
    last_month: str = "2025-12"
    regions: int = REGIONS
    banks: int = 12
    world: str = "default"
    drawn: int | None = None

    def __post_init__(self) -> None:
        for name, least, most in (
            ("seed", 0, 2**63),
            ("companies", 1, 10**7),
            ("months", 1, 240),
            ("regions", 1, REGIONS),
            ("banks", 1, 99),
        ):
            if not least <= getattr(self, name) <= most:
                raise ConfigError(f"economy.{name}", found=str(getattr(self, name)), expected=f"{least}..{most}")
        if self.drawn is not None and self.drawn < 0:
            raise ConfigError("economy.drawn", found=str(self.drawn), expected="0 or more")
        last = _month(self.last_month)
        if last is None:
            raise ConfigError("economy.last_month", found=repr(self.last_month), expected="a month as 2025-12")
        if not np.datetime64("1990-01") <= last <= np.datetime64("2090-01"):
            raise ConfigError("economy.last_month", found=self.last_month, expected="1990-01 to 2090-01")

    def load(self) -> World:
        """The world of these settings, drawn where that is asked for."""
        world = read_world(self.world)
        return world if self.drawn is None else draw(world, self.drawn)

    @property
    def length(self) -> int:
        """Months of history and observation together."""
        return HISTORY + self.months

    @cached_property
    def month_starts(self) -> Days:
        """First day of every month, history first.

        >>> WorldSettings(months=2).month_starts[[0, -1]].astype(str).tolist()
        ['2022-11-01', '2025-12-01']
        """
        last = np.datetime64(self.last_month, "M")
        return np.asarray((last - np.arange(self.length - 1, -1, -1)).astype("datetime64[D]"))

    @cached_property
    def month_ends(self) -> Days:
        """Last day of every month, which is `valid_at` of a monthly row."""
        return np.asarray((self.month_starts.astype("datetime64[M]") + 1).astype("datetime64[D]") - 1)

    @cached_property
    def calendar(self) -> NDArray[np.int64]:
        """Month of the year, 0..11, of every month."""
        return np.asarray(self.month_starts.astype("datetime64[M]").astype(np.int64) % 12)


def _month(text: str) -> np.datetime64 | None:
    try:
        month = np.datetime64(text, "M")
    except ValueError:
        return None
    return month if str(month) == text else None
