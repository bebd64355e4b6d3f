"""Days and times of a week, in a time zone, become yes or no for one moment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from fedcredit.errors import ConfigError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


@dataclass(frozen=True)
class Hours:
    """From one time to another on some days; past midnight where the second is the earlier, counted to the first day.

    >>> night = Hours(("fri",), start="20:00", end="06:00", zone="Asia/Shanghai")
    >>> friday = datetime(2027, 1, 1, 21, tzinfo=ZoneInfo("Asia/Shanghai"))
    >>> [night.hold(friday + timedelta(hours=hours)) for hours in (-2, 0, 8, 9, 24)]
    [False, True, True, False, False]
    """

    days: tuple[str, ...]
    start: str
    end: str
    zone: str = "UTC"

    def __post_init__(self) -> None:
        if not self.days or set(self.days) - set(DAYS):
            raise ConfigError("policy.hours.days", found="others", expected=", ".join(DAYS))
        for name, said in (("from", self.start), ("to", self.end)):
            if not _TIME.fullmatch(said):
                raise ConfigError(f"policy.hours.{name}", found=repr(said)[:20], expected='a time such as "20:00"')
        try:
            ZoneInfo(self.zone)
        except (OSError, ValueError, KeyError):
            expected = "a zone such as Asia/Shanghai"
            raise ConfigError("policy.hours.zone", found=repr(self.zone)[:40], expected=expected) from None

    def __str__(self) -> str:
        return f"{', '.join(self.days)} from {self.start} to {self.end} ({self.zone})"

    def hold(self, at: datetime) -> bool:
        """Whether the moment is within them."""
        local = at.astimezone(ZoneInfo(self.zone))
        start, end, now = time.fromisoformat(self.start), time.fromisoformat(self.end), local.time()
        today, yesterday = DAYS[local.weekday()], DAYS[(local - timedelta(days=1)).weekday()]
        if start < end:
            return today in self.days and start <= now < end
        return (today in self.days and now >= start) or (yesterday in self.days and now < end)
