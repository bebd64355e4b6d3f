"""A bundle and outcomes beside scores become the same weights with PDs on the master scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.calibration import Method, fit, to_long_run
from fedcredit.credit.long_run import Estimate, anchor, estimate_rate
from fedcredit.credit.other_rates import RateEffect, other_rates
from fedcredit.credit.scale import MASTER
from fedcredit.errors import ModelError
from fedcredit.evaluation.grid import GRID
from fedcredit.models.bundle import Bundle
from fedcredit.models.calibrated import Step
from server.outcomes import Outcomes


@dataclass(frozen=True)
class Calibrated:
    """The new bundle, what was fitted, the label-free estimate if one was asked for, and what other rates would do.

    beside: the same for rates that have a name, such as the other rating philosophy's.
    """

    bundle: Bundle
    fitted: tuple[Step, ...]
    estimate: Estimate | None
    companies: int
    defaults: int
    rates: tuple[RateEffect, ...]
    beside: Mapping[str, RateEffect]


def calibrated(
    bundle: Bundle,
    outcomes: Outcomes,
    *,
    method: Method,
    to_rate: float | None = None,
    portfolio: NDArray[np.int64] | None = None,
    beside: Mapping[str, float] | None = None,
) -> Calibrated:
    """The bundle with a fitted step, moved to a default rate where one is known: a long-run rate, or a period's.

    rate alone: a prior shift. rate and portfolio (counts of scores without outcomes, on the standard grid): the
    portfolio's mean PD is anchored at the rate. portfolio alone: a shift to the rate that its scores suggest (Saerens
    2002). Where there is a rate, what half and one and a half times it would do to the portfolio, else to the outcomes,
    and so for the rates in `beside`.
    """
    fitted: tuple[Step, ...] = (fit(outcomes.counts, method=method, grid=outcomes.grid),)
    bad, companies = float(outcomes.counts[1].sum()), float(outcomes.counts.sum())
    found: Estimate | None = None
    rate = to_rate
    if rate is None and portfolio is not None:
        found = estimate_rate(portfolio, steps=fitted, from_rate=bad / companies)
        rate = found.rate
        if rate < 1e-6:
            hint = "the assumption of the label-free estimate does not hold here: give --long-run-rate"
            raise ModelError("default rate", found="an estimate of 0", expected="a rate above 0", hint=hint)

    def steps_at(to: float) -> tuple[Step, ...]:
        if to_rate is not None and portfolio is not None:
            return (*fitted, anchor(portfolio, steps=fitted, rate=to))
        return (*fitted, to_long_run(outcomes.counts, long_run_rate=to, grid=outcomes.grid))

    steps = fitted if rate is None else steps_at(rate)
    rates: tuple[RateEffect, ...] = ()
    named: dict[str, RateEffect] = {}
    if rate is not None:
        scores, grid = (portfolio, GRID) if portfolio is not None else (outcomes.counts.sum(axis=0), outcomes.grid)
        rates = other_rates(scores, rate=rate, steps_at=steps_at, grid=grid)
        asked = dict(beside or {})
        effects = other_rates(scores, rate=rate, steps_at=steps_at, others=list(asked.values()), grid=grid)
        named = dict(zip(asked, effects, strict=True))
    before = () if outcomes.is_raw else bundle.calibration
    made = replace(bundle, calibration=(*before, *steps), scale=MASTER.name, sha256="")
    return Calibrated(made, steps, found, round(companies), round(bad), rates, named)
