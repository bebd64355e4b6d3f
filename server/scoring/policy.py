"""What the operator decided on doubtful input, live trials and limits, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedcredit.errors import ConfigError

OnDoubt = Literal["refuse", "grade"]


def doubt(said: str) -> OnDoubt:
    """The word as a decision. Raises ConfigError: it is none."""
    if said not in ("refuse", "grade"):
        raise ConfigError("policy", found=repr(said[:40]), expected="refuse or grade")
    return "refuse" if said == "refuse" else "grade"


@dataclass(frozen=True)
class Policy:
    """How the service treats what it is sent.

    missing: whether a company with an empty indicator is refused, or graded with its coverage stated; below
    `least_coverage` it is refused either way. outside: the same for a value outside the indicator's range, which the
    model would clip. stale: the same for indicators known more than `fresh_hours` ago. per_second and burst: requests
    of one token; a batch costs one request more for every 100 companies, and reasons cost one for each company.
    challenger_share: of the companies, answered
    by the challenger.
    """

    missing: OnDoubt = "grade"
    outside: OnDoubt = "refuse"
    stale: OnDoubt = "refuse"
    least_coverage: float = 0.25
    fresh_hours: float = 72.0
    per_second: float = 500.0
    burst: float = 1000.0
    challenger_share: float = 0.0
    error_share: float = 0.02
    latency_ms: float = 250.0

    def __post_init__(self) -> None:
        for name in ("least_coverage", "challenger_share", "error_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(name, found=str(getattr(self, name)), expected="a share from 0 to 1")
        for name in ("fresh_hours", "per_second", "burst", "latency_ms"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ConfigError(name, found=str(getattr(self, name)), expected="a number above 0")
