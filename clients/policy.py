"""What a study asks of an institution becomes granted, clamped to the institution's own terms, or refused.

`decide` is a pure function of the policy and the question: it reads no file, no clock and no row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, get_args

from clients.hours import Hours
from clients.reserve import reserved_rounds
from fedcredit.errors import ConfigError, PolicyRefused

if TYPE_CHECKING:
    from fedcredit.federation.counting import CountTerms
    from fedcredit.federation.messages import PrivacyTerms

ANY = "*"
MAX_NAMES = 4096  # of a list in a policy
LARGEST_NOISE = 1000.0  # of a floor: with more nothing is learnt, and the accountant takes ever longer to say so
LEAST_EPSILON = 1e-3  # as in federation/messages.py: below it there is nothing to train with
Reason = Literal[
    "policy", "stopped", "expired", "hours", "study", "purpose", "column", "level", "cohort", "masks", "exact-metrics",
    "counts", "epsilon", "clip", "noise-floor", "schema",
]  # fmt: skip
REASONS: tuple[str, ...] = get_args(Reason)


class AskRefused(PolicyRefused):
    """The institution's own policy says no; `code` is the rule that does, one of REASONS."""

    code = "policy"

    def __init__(self, where: str, *, found: str, expected: str, hint: str = "") -> None:
        super().__init__(where, found=found, expected=expected, hint=hint)
        if where in REASONS:
            self.code = where


@dataclass(frozen=True)
class Columns:
    """Names of feature columns; `*` allows all that are not denied."""

    allow: tuple[str, ...] = (ANY,)
    deny: tuple[str, ...] = ()

    def forbidden(self, names: Mapping[str, int]) -> list[str]:
        """Those of the names that may not be used.

        >>> Columns(deny=("phone",)).forbidden({"debt": 3, "phone": 3})
        ['phone']
        """
        is_open = ANY in self.allow
        return [name for name in names if name in self.deny or not (is_open or name in self.allow)]


@dataclass(frozen=True)
class EpsilonCeilings:
    """The most epsilon of one run, of a company's lifetime here, and of all evaluations of a study (metrics); null sets
    no limit.
    """

    run: float | None = None
    lifetime: float | None = None
    metrics: float | None = None


@dataclass(frozen=True)
class Policy:
    """One institution's word on what may be computed from its rows, as its officer signed it.

    purposes, studies: names, or `*`. highest_level: of the rows (JR/T 0197-2020). noise_floor: least noise multiplier
    of training; where noise is shared, that of the sum. clip_ceiling: largest norm of one company's gradient.
    smallest_cohort: institutions in the sum in which an update leaves; in the clear it is one. metrics: whether
    counts of held-out scores may leave: none, with noise and charged (noised), or exact ones too. evaluations: the most
    that one study may have. expires: the last day, in UTC. stopped: the kill switch.
    """

    institution: str
    purposes: tuple[str, ...]
    studies: tuple[str, ...]
    expires: date
    columns: Columns = Columns()
    highest_level: int = 3
    epsilon: EpsilonCeilings = EpsilonCeilings()
    noise_floor: float | None = None
    clip_ceiling: float | None = None
    smallest_cohort: int = 1
    metrics: Literal["none", "noised", "exact"] = "none"
    evaluations: int | None = None
    require_masks: bool = True
    hours: Hours | None = None
    stopped: bool = False
    schema: int = 1

    def __post_init__(self) -> None:
        limits = {
            "epsilon.run": self.epsilon.run,
            "epsilon.lifetime": self.epsilon.lifetime,
            "epsilon.metrics": self.epsilon.metrics,
            "noise_floor": self.noise_floor,
            "clip_ceiling": self.clip_ceiling,
        }
        for name, limit in limits.items():
            if limit is not None and not 0.0 < limit < float("inf"):
                raise ConfigError(f"policy.{name}", found=repr(limit), expected="a number above 0, or null")
        if self.noise_floor is not None and self.noise_floor > LARGEST_NOISE:
            expected = f"at most {LARGEST_NOISE:g}"
            raise ConfigError("policy.noise_floor", found=f"{self.noise_floor:g}", expected=expected)
        for name, value, most in (
            ("highest_level", self.highest_level, 5),
            ("smallest_cohort", self.smallest_cohort, 1000),
            ("evaluations", 1 if self.evaluations is None else self.evaluations, 1000),
            ("schema", self.schema, 1),
        ):
            if not 1 <= value <= most:
                raise ConfigError(f"policy.{name}", found=str(value), expected=f"1 to {most}")
        if max(map(len, (self.purposes, self.studies, self.columns.allow, self.columns.deny))) > MAX_NAMES:
            raise ConfigError("policy", found="a longer list", expected=f"at most {MAX_NAMES} names")
        if not self.institution:
            raise ConfigError("policy.institution", found="no name", expected="the institution's")

    @property
    def is_private_only(self) -> bool:
        """Whether an update may leave under privacy only: a limit on epsilon, noise or clip says nothing without."""
        limits = (self.epsilon.run, self.epsilon.lifetime, self.noise_floor, self.clip_ceiling)
        return any(limit is not None for limit in limits)

    @property
    def least_sum(self) -> int | None:
        """The fewest institutions in a sum, None where updates may leave in the clear."""
        return self.smallest_cohort if self.require_masks or self.smallest_cohort > 1 else None


@dataclass(frozen=True)
class Ask:
    """What one message asks for.

    purpose: the consortium's, from the signed manifest; empty where there is none. columns: level by name. cohort:
    institutions in the sum in which the update leaves; 1 where it leaves in the clear, whatever the platform says of
    others, since nobody here can count them. counts: the terms of the study's evaluations, if it has any.
    """

    study: str
    purpose: str
    columns: Mapping[str, int]
    terms: PrivacyTerms | None
    cohort: int
    metrics: str
    is_masked: bool
    at: datetime
    counts: CountTerms | None = None


@dataclass(frozen=True)
class Granted:
    """As asked."""

    terms: PrivacyTerms | None


@dataclass(frozen=True)
class Clamped:
    """Yes, with less epsilon or a smaller clip than was asked for; `why` says which limit did it."""

    terms: PrivacyTerms
    why: tuple[str, ...]


@dataclass(frozen=True)
class Refused:
    """No. `reason` may cross the wire; `ask` is what the operator can do about it."""

    reason: Reason
    ask: str


Outcome = Granted | Clamped | Refused


def decide(policy: Policy, ask: Ask) -> Outcome:
    """The policy's answer to one question.

    >>> policy = Policy("bank-a", ("*",), ("*",), date(2027, 12, 31), require_masks=False)
    >>> ask = Ask("s", "", {"debt": 3}, None, 1, "none", False, datetime(2027, 1, 4, tzinfo=UTC))
    >>> decide(policy, ask)
    Granted(terms=None)
    >>> decide(dataclasses.replace(policy, stopped=True), ask).reason
    'stopped'
    """
    for check in _CHECKS:
        refused = check(policy, ask)
        if refused is not None:
            return refused
    return terms_under(policy, ask.terms)


def takes_model(policy: Policy, ask: Ask) -> Refused | None:
    """Why a promoted model of this study may not come in; None where it may.

    It asks nothing of any row, so only who may ask, when and for what is looked at.
    """
    checks = (_stopped, _expired, _hours, _study, _purpose)
    return next((refused for check in checks if (refused := check(policy, ask)) is not None), None)


def terms_under(policy: Policy, terms: PrivacyTerms | None) -> Outcome:
    """The terms that the policy lets the institution train under; those of a task do not change with time."""
    if terms is None:
        if policy.is_private_only:
            return Refused("epsilon", "the study asks for no privacy; it needs an epsilon under this policy's limits")
        return Granted(None)
    return _clamped(terms, policy.epsilon.run, policy.clip_ceiling, policy.noise_floor)


@lru_cache(maxsize=256)
def _clamped(terms: PrivacyTerms, epsilon: float | None, clip: float | None, noise: float | None) -> Outcome:
    # The order matters: noise follows from epsilon, so it is looked at last.
    wanted, why = terms, list[tuple[Reason, str]]()
    if epsilon is not None and wanted.epsilon > epsilon:
        why.append(("epsilon", f"epsilon {wanted.epsilon:g} above the ceiling of a run: trained at {epsilon:g}"))
        wanted = dataclasses.replace(wanted, epsilon=max(epsilon, LEAST_EPSILON))
        if epsilon < LEAST_EPSILON:
            return Refused("epsilon", f"the ceiling of a run is below {LEAST_EPSILON:g}: raise epsilon.run")
    if clip is not None and wanted.clip > clip:
        why.append(("clip", f"clip {wanted.clip:g} above the ceiling: clipped at {clip:g}"))
        wanted = dataclasses.replace(wanted, clip=max(clip, LEAST_EPSILON))
        if clip < LEAST_EPSILON:
            return Refused("clip", f"the ceiling of the clip is below {LEAST_EPSILON:g}: raise clip_ceiling")
    if noise is not None and (found := _noise(wanted)) < noise:
        most = _epsilon_at(noise, wanted)
        if most is None:
            return Refused("noise-floor", f"no epsilon of use has a noise multiplier of {noise:g} in so many steps")
        why.append(("noise-floor", f"noise {found:.3g} under the floor {noise:g}: trained at epsilon {most:.4g}"))
        wanted = dataclasses.replace(wanted, epsilon=most)
    if not why:
        return Granted(terms)
    if terms.noise == "distributed":
        hint = "the noise of a sum is planned by all its institutions together, so one cannot train under other terms"
        return Refused(why[0][0], f"{why[0][1].partition(':')[0]}; {hint}")
    return Clamped(wanted, tuple(text for _, text in why))


def _steps(terms: PrivacyTerms) -> int:
    return terms.steps * (terms.rounds + reserved_rounds(terms.rounds))


def _noise(terms: PrivacyTerms) -> float:
    """The noise multiplier that training under the terms takes; remembered, since training asks for it next."""
    from fedcredit.privacy.accounting import solve_noise

    return solve_noise(terms.epsilon, delta=terms.delta, sample_rate=terms.sample_rate, steps=_steps(terms))


def _epsilon_at(noise: float, terms: PrivacyTerms) -> float | None:
    """The largest epsilon whose solved noise is no less than the floor, less the solver's own slack."""
    from fedcredit.privacy.accounting import SOLVER_SLACK, Step, epsilon_spent

    epsilon = epsilon_spent([Step(noise, terms.sample_rate, _steps(terms))], delta=terms.delta)
    for _ in range(5):
        if epsilon < LEAST_EPSILON:
            return None
        epsilon = min(epsilon, terms.epsilon)
        if _noise(dataclasses.replace(terms, epsilon=epsilon)) >= noise:
            return epsilon
        epsilon -= min(SOLVER_SLACK, epsilon / 10)
    return None


def _stopped(policy: Policy, ask: Ask) -> Refused | None:
    return Refused("stopped", "fedcredit node policy resume, once it may go on") if policy.stopped else None


def _expired(policy: Policy, ask: Ask) -> Refused | None:
    if ask.at.astimezone(UTC).date() <= policy.expires:
        return None
    return Refused("expired", f"the policy ended on {policy.expires}: set another day and sign it")


def _hours(policy: Policy, ask: Ask) -> Refused | None:
    if policy.hours is None or policy.hours.hold(ask.at):
        return None
    return Refused("hours", f"it answers {policy.hours}")


def _study(policy: Policy, ask: Ask) -> Refused | None:
    if ANY in policy.studies or ask.study in policy.studies:
        return None
    return Refused("study", "put its name under studies, and sign")


def _purpose(policy: Policy, ask: Ask) -> Refused | None:
    if ANY in policy.purposes or ask.purpose in policy.purposes:
        return None
    return Refused("purpose", "the manifest's purpose of this study is none of those under purposes")


def _columns(policy: Policy, ask: Ask) -> Refused | None:
    found = policy.columns.forbidden(ask.columns)
    return Refused("column", f"it uses {len(found)} columns that are not allowed here") if found else None


def _level(policy: Policy, ask: Ask) -> Refused | None:
    level = max(ask.columns.values(), default=0)
    if level <= policy.highest_level:
        return None
    return Refused("level", f"the rows are of level {level}, allowed is up to {policy.highest_level}")


def _masks(policy: Policy, ask: Ask) -> Refused | None:
    return Refused("masks", "the study needs masking") if policy.require_masks and not ask.is_masked else None


def _cohort(policy: Policy, ask: Ask) -> Refused | None:
    if ask.cohort >= policy.smallest_cohort:
        return None
    found = f"a masked sum of {ask.cohort}" if ask.is_masked else "an update in the clear"
    return Refused("cohort", f"{found} where {policy.smallest_cohort} institutions or more are asked for")


def _metrics(policy: Policy, ask: Ask) -> Refused | None:
    if ask.metrics == "none" or policy.metrics == "exact":
        return None
    if ask.metrics == "exact":
        other = "noised" if policy.metrics == "noised" else "none"
        return Refused("exact-metrics", f"exact counts may not leave: the study needs metrics: {other}")
    return None if policy.metrics == "noised" else Refused("counts", "no counts may leave, not with noise either")


def _counts(policy: Policy, ask: Ask) -> Refused | None:
    """Terms of evaluations are refused and never clamped: all institutions of a sum plan its noise together."""
    if ask.counts is None:
        return None
    if policy.evaluations is not None and ask.counts.evaluations > policy.evaluations:
        return Refused("counts", f"{ask.counts.evaluations} evaluations, allowed are {policy.evaluations} a study")
    most = policy.epsilon.metrics
    if most is not None and ask.counts.epsilon is not None and ask.counts.epsilon > most:
        return Refused("counts", f"epsilon {ask.counts.epsilon:g} of the evaluations, allowed is {most:g}")
    return None


_CHECKS: tuple[Callable[[Policy, Ask], Refused | None], ...] = (
    _stopped, _expired, _hours, _study, _purpose, _columns, _level, _masks, _cohort, _metrics, _counts,
)  # fmt: skip
