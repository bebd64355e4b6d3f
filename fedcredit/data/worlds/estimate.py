"""Settings become what writing them will take, so that nobody starts what the machine cannot finish."""

from __future__ import annotations

from dataclasses import dataclass

from fedcredit.data.worlds.settings import WorldSettings

# Measured on 120,000 x 36 in the default world, one core busy: 38 s, 0.85 GiB at the peak, 466 MB on disk.
SECONDS_AT_LEAST, SECONDS_A_COMPANY_MONTH = 1.5, 8.4e-6
GIB_AT_LEAST, BYTES_A_HIDDEN_MONTH = 0.15, 87.0
DISK_BYTES_A_COMPANY_MONTH = 108.0


@dataclass(frozen=True)
class Estimate:
    """Time on one core, memory at the peak, and size on disk."""

    seconds: float
    memory_gib: float
    disk_mb: float

    def text(self) -> str:
        """One line for people."""
        return f"about {self.seconds:g} s, {self.memory_gib:g} GiB of memory, {self.disk_mb:g} MB on disk"


def estimate(settings: WorldSettings) -> Estimate:
    """What `write` takes, within about a third on a machine like the one that it was measured on.

    >>> estimate(WorldSettings(companies=120_000))
    Estimate(seconds=38, memory_gib=0.9, disk_mb=467)
    """
    months = settings.companies * settings.months
    hidden = settings.companies * settings.length
    return Estimate(
        seconds=round(SECONDS_AT_LEAST + SECONDS_A_COMPANY_MONTH * months),
        memory_gib=round(GIB_AT_LEAST + BYTES_A_HIDDEN_MONTH * hidden / 2**30, 1),
        disk_mb=round(DISK_BYTES_A_COMPANY_MONTH * months / 1e6),
    )
