"""A lifetime's epsilon and a calendar of retrains and monitoring become the noise that fits, date by date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from fedcredit.errors import BudgetSpent, ConfigError
from fedcredit.privacy.accounting import secant
from fedcredit.privacy.mechanism import Mechanism, joint_epsilon

SLACK = 0.005  # of epsilon, left unused by a fitted schedule


@dataclass(frozen=True)
class Calendar:
    """`retrains` trainings, one every `every_months`, and a noised histogram of scores each month for `months`.

    sample_rate, steps: noisy steps of one training over all its rounds. monitoring_share: the part of the lifetime's
    epsilon that all releases of metrics may take; 0 plans none.
    """

    start: date
    retrains: int = 12
    every_months: int = 3
    months: int = 36
    sample_rate: float = 0.1
    steps: int = 200
    monitoring_share: float = 0.1

    def __post_init__(self) -> None:
        for name in ("retrains", "every_months", "months", "steps"):
            if getattr(self, name) < (0 if name == "months" else 1):
                raise ConfigError(f"plan.{name}", found=str(getattr(self, name)), expected="a positive number")
        if not 0.0 <= self.monitoring_share < 1.0:
            raise ConfigError("plan.monitoring_share", found=str(self.monitoring_share), expected="0 to below 1")


@dataclass(frozen=True)
class Visit:
    """One date: what is done, its noise, its own epsilon, and the lifetime's after it."""

    on: date
    what: str
    noise: float
    epsilon: float
    lifetime: float


@dataclass(frozen=True)
class Fitted:
    """The noise of each training and each release of metrics with which the whole calendar fits, and its dates.

    metrics_noise: standard deviation of the noise on each bin's count, where a company counts in one bin.
    """

    training_noise: float
    training_epsilon: float
    metrics_noise: float | None
    metrics_epsilon: float | None
    delta: float
    visits: tuple[Visit, ...]


def fit(calendar: Calendar, *, lifetime_epsilon: float, delta: float, before: Sequence[Mechanism] = ()) -> Fitted:
    """The calendar with the least noise that keeps a company within `lifetime_epsilon`, beside what was spent `before`.

    Raises:
        BudgetSpent: what was spent before leaves no room for it.
    """
    metrics = _metrics(calendar, lifetime_epsilon=lifetime_epsilon, delta=delta)
    releases = [metrics.times(calendar.months)] if metrics else []
    taken = joint_epsilon([*before, *releases], delta=delta)
    if taken >= lifetime_epsilon - SLACK:
        hint = "a larger ceiling, or a smaller share for monitoring; a ledger never gives back what was charged"
        found = f"epsilon {taken:.4g} spent or planned before the first training"
        raise BudgetSpent("lifetime of the companies", found=found, expected=f"below {lifetime_epsilon:g}", hint=hint)

    def spent(noise: float) -> float:
        return joint_epsilon([*before, *releases, _training(calendar, noise).times(calendar.retrains)], delta=delta)

    noise = secant(spent, lifetime_epsilon, start=5.0, slack=SLACK)
    if noise is None:
        raise BudgetSpent(
            "plan",
            found="no noise that fits",
            expected="a lighter plan",
            hint="fewer steps or retrains, a smaller rate",
        )
    training = _training(calendar, noise)
    return Fitted(
        training_noise=noise,
        training_epsilon=joint_epsilon([training], delta=delta),
        metrics_noise=metrics.noise_scale if metrics else None,
        metrics_epsilon=joint_epsilon(releases, delta=delta) if metrics else None,
        delta=delta,
        visits=_visits(calendar, training, metrics, before=before, delta=delta),
    )


def _training(calendar: Calendar, noise: float) -> Mechanism:
    return Mechanism("training", noise, sampling="poisson", sample_rate=calendar.sample_rate, count=calendar.steps)


def _metrics(calendar: Calendar, *, lifetime_epsilon: float, delta: float) -> Mechanism | None:
    share = calendar.monitoring_share * lifetime_epsilon
    if not share or not calendar.months:
        return None
    noise = secant(
        lambda scale: joint_epsilon([Mechanism("metrics", scale, count=calendar.months)], delta=delta),
        share,
        start=calendar.months**0.5 * 4 / share,
        slack=min(SLACK, share / 10),
    )
    if noise is None:
        raise BudgetSpent("plan.monitoring_share", found=f"{share:g}", expected="a larger share", hint="or 0 for none")
    return Mechanism("metrics", noise)


def _visits(
    calendar: Calendar, training: Mechanism, metrics: Mechanism | None, *, before: Sequence[Mechanism], delta: float
) -> tuple[Visit, ...]:
    visits, trained, released = [], 0, 0
    for month in range(max(calendar.months, calendar.every_months * (calendar.retrains - 1) + 1)):
        due: list[tuple[str, Mechanism]] = []
        if month % calendar.every_months == 0 and trained < calendar.retrains:
            due.append(("retrain", training))
        if metrics and month < calendar.months:
            due.append(("monitoring", metrics))
        for what, mechanism in due:
            trained += what == "retrain"
            released += what == "monitoring"
            done = [*before]
            done += [training.times(trained)] if trained else []
            done += [metrics.times(released)] if metrics and released else []
            lifetime = joint_epsilon(done, delta=delta)
            own = joint_epsilon([mechanism], delta=delta)
            visits.append(Visit(_later(calendar.start, month), what, mechanism.noise_scale, own, lifetime))
    return tuple(visits)


def _later(start: date, months: int) -> date:
    """The same day of a later month, or the 28th where there may be none."""
    year, month = divmod(start.month - 1 + months, 12)
    return date(start.year + year, month + 1, min(start.day, 28))
