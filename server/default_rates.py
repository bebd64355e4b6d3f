"""Default rates by period, or rates as typed, become the rate that PDs are moved to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fedcredit.credit.long_run import Period, long_run_rate, point_in_time, through_the_cycle
from fedcredit.data.periods import number_periods
from fedcredit.errors import ConfigError, TableError
from server.small_csv import read_rows

POINT_IN_TIME, THROUGH_THE_CYCLE = "point in time", "through the cycle"
COLUMNS = ("period", "companies", "defaults")
MOST_PERIODS = 1000
ENOUGH_PERIODS = 5  # years, CRR article 180: with fewer, good years or bad ones may be missing
COUNT = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True)
class Rates:
    """The mean rate over the periods, and the rate of the latest one; None where it is not known."""

    long_run: float | None
    period: float | None
    periods: tuple[Period, ...] = ()

    def of(self, *, is_point_in_time: bool) -> float | None:
        """The rate that PDs of this kind are calibrated to; through the cycle it may be None: the outcomes' own.

        Raises:
            ConfigError: point in time without a rate of the period.
        """
        if is_point_in_time and self.period is None:
            hint = "the default rate of the latest year, or a file of the rates of all years"
            expected = "--period-rate or --periods"
            raise ConfigError("--point-in-time", found="no rate of the period", expected=expected, hint=hint)
        return self.period if is_point_in_time else self.long_run

    @property
    def both(self) -> dict[str, float]:
        """The rate of each kind by name, where both are known."""
        if self.long_run is None or self.period is None:
            return {}
        return {POINT_IN_TIME: self.period, THROUGH_THE_CYCLE: self.long_run}


def rates_of(*, long_run: float | None, period: float | None, periods: Path | None) -> Rates:
    """Rates as typed, or those of a file with period, companies and defaults: their mean, and that of the latest.

    Raises:
        ConfigError: a rate that is no share, or typed although the file gives it.
        TableError: the file is no such table.
    """
    for name, rate in (("--long-run-rate", long_run), ("--period-rate", period)):
        if rate is not None and not 0 < rate < 1:
            raise ConfigError(name, found=str(rate), expected="a share between 0 and 1", hint="2 % is 0.02")
        if rate is not None and periods is not None:
            raise ConfigError(name, found="--periods too", expected="one of them", hint="the file gives both rates")
    if periods is None:
        return Rates(long_run, period)
    known = read_periods(periods)
    found = Rates(long_run_rate(known), known[-1].rate, tuple(known))
    for name, rate in (("mean", found.long_run), ("latest", found.period)):
        if not rate or rate == 1:
            raise TableError(f"{periods.name}, {name} rate", found=f"{rate:g}", expected="a share between 0 and 1")
    return found


def moved(pds: Sequence[float], *, to: str, rates: Rates) -> list[float]:
    """PDs of the period as they are through the cycle, or the other way round.

    Raises:
        ConfigError: a PD outside 0..1, or a rate is not known.
    """
    if rates.long_run is None or rates.period is None:
        hint = "the mean of the yearly rates and the rate of one year, or --periods with all years"
        raise ConfigError("--to", found="one rate", expected="--long-run-rate and --period-rate", hint=hint)
    if not all(0 <= pd <= 1 for pd in pds):
        raise ConfigError("PD", found="a value outside 0..1", expected="shares", hint="2 % is 0.02")
    if to == "point-in-time":
        return point_in_time(pds, long_run=rates.long_run, period_rate=rates.period).tolist()
    return through_the_cycle(pds, period_rate=rates.period, long_run=rates.long_run).tolist()


def read_periods(path: Path) -> Sequence[Period]:
    """The periods of a CSV, in time.

    Raises:
        TableError: it is no such CSV, a period stands twice, or more defaults than companies.
    """
    rows = list(read_rows(path, columns=COLUMNS, most=MOST_PERIODS))
    if not rows:
        raise TableError(path.name, found="no period", expected="one or more")
    names = pd.Series([row.cells["period"] or None for row in rows], name="period", dtype=object)
    number = number_periods(names, where=path.name).number
    if len(set(number.tolist())) < len(number):
        raise TableError(f"{path.name}, column 'period'", found="a period twice", expected="each once")
    found = []
    for row in rows:
        where = f"{path.name}, line {row.line}"
        for name in ("companies", "defaults"):
            if not COUNT.fullmatch(row.cells[name]):
                raise TableError(f"{where}, column {name!r}", found="no count", expected="a whole number")
        companies, defaults = int(row.cells["companies"]), int(row.cells["defaults"])
        if not 0 <= defaults <= companies or not companies:
            raise TableError(where, found="more defaults than companies", expected="companies, and no more defaults")
        found.append(Period(row.cells["period"], companies, defaults))
    return [found[place] for place in np.argsort(number, kind="stable")]
