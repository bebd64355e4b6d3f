"""Every rule of an institution's policy refuses or clamps by its own name, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from clients.hours import Hours
from clients.policy import (
    REASONS,
    Ask,
    AskRefused,
    Clamped,
    Columns,
    EpsilonCeilings,
    Granted,
    Policy,
    Refused,
    decide,
)
from clients.reserve import reserved_rounds
from fedcredit.data.governance.contract import errors
from fedcredit.errors import ConfigError
from fedcredit.federation.messages import PrivacyTerms
from fedcredit.privacy.accounting import solve_noise

TERMS = PrivacyTerms(epsilon=4.0, delta=1e-5, clip=1.0, sample_rate=0.5, steps=1, rounds=10)
MONDAY = datetime(2027, 1, 4, 12, 30, tzinfo=UTC)
POLICY = Policy(
    institution="bank-a",
    purposes=("credit",),
    studies=("pilot",),
    expires=date(2027, 1, 4),
    columns=Columns(allow=("debt", "cash"), deny=("phone",)),
    highest_level=4,
    epsilon=EpsilonCeilings(run=4.0, lifetime=8.0),
    clip_ceiling=1.0,
    smallest_cohort=5,
    hours=Hours(("mon",), start="09:00", end="17:00"),
)
ASK = Ask(
    study="pilot",
    purpose="credit",
    columns={"debt": 3, "cash": 4},
    terms=TERMS,
    cohort=5,
    metrics="none",
    is_masked=True,
    at=MONDAY,
)


def noise(terms: PrivacyTerms) -> float:
    steps = terms.steps * (terms.rounds + reserved_rounds(terms.rounds))
    return solve_noise(terms.epsilon, delta=terms.delta, sample_rate=terms.sample_rate, steps=steps)


def test_what_is_within_every_rule_is_granted_as_asked() -> None:
    assert decide(POLICY, ASK) == Granted(TERMS)


OVER: dict[str, dict[str, Any]] = {
    "expired": {"at": datetime(2027, 1, 5, tzinfo=UTC)},
    "hours": {"at": datetime(2027, 1, 4, 17, tzinfo=UTC)},
    "study": {"study": "another"},
    "purpose": {"purpose": "marketing"},
    "column": {"columns": {"debt": 3, "growth": 3}},
    "level": {"columns": {"debt": 5}},
    "masks": {"is_masked": False, "cohort": 1},
    "cohort": {"cohort": 4},
    "exact-metrics": {"metrics": "exact"},
    "epsilon": {"terms": None},
}


@pytest.mark.parametrize("reason", OVER)
def test_each_rule_refuses_by_its_own_name(reason: str) -> None:
    outcome = decide(POLICY, replace(ASK, **OVER[reason]))
    assert isinstance(outcome, Refused)
    assert outcome.reason == reason
    assert outcome.ask


def test_a_stopped_node_says_so_before_anything_else() -> None:
    outcome = decide(replace(POLICY, stopped=True), replace(ASK, study="another"))
    assert isinstance(outcome, Refused)
    assert outcome.reason == "stopped"


def test_a_denied_column_is_refused_where_all_others_are_allowed() -> None:
    policy = replace(POLICY, columns=Columns(deny=("cash",)))
    assert isinstance(outcome := decide(policy, ASK), Refused)
    assert outcome.reason == "column"


def test_a_cohort_of_one_is_what_an_update_in_the_clear_is() -> None:
    policy = replace(POLICY, require_masks=False, smallest_cohort=2)
    assert isinstance(outcome := decide(policy, replace(ASK, is_masked=False, cohort=1)), Refused)
    assert outcome.reason == "cohort"


def test_epsilon_above_the_ceiling_is_trained_at_the_ceiling() -> None:
    assert isinstance(outcome := decide(POLICY, replace(ASK, terms=replace(TERMS, epsilon=9.0))), Clamped)
    assert outcome.terms == TERMS
    assert noise(outcome.terms) > noise(replace(TERMS, epsilon=9.0))
    assert outcome.why == ("epsilon 9 above the ceiling of a run: trained at 4",)


def test_a_clip_above_the_ceiling_is_the_ceiling() -> None:
    assert isinstance(outcome := decide(POLICY, replace(ASK, terms=replace(TERMS, clip=3.0))), Clamped)
    assert outcome.terms == TERMS


@pytest.mark.parametrize("floor", [1.2, 2.0, 5.0])
def test_noise_under_the_floor_becomes_as_much_epsilon_as_gives_the_floor(floor: float) -> None:
    lax = replace(TERMS, epsilon=8.0)
    assert noise(lax) < floor * noise(TERMS) / 1.2 or floor == 1.2
    policy = replace(POLICY, epsilon=EpsilonCeilings(), noise_floor=floor * noise(TERMS))
    assert isinstance(outcome := decide(policy, replace(ASK, terms=lax)), Clamped)
    assert policy.noise_floor is not None
    assert policy.noise_floor <= noise(outcome.terms) < 1.01 * policy.noise_floor
    assert replace(outcome.terms, epsilon=8.0) == lax


def test_noise_at_the_floor_is_granted() -> None:
    policy = replace(POLICY, noise_floor=noise(TERMS))
    assert decide(policy, ASK) == Granted(TERMS)


def test_a_floor_that_no_epsilon_of_use_reaches_is_refused() -> None:
    policy = replace(POLICY, epsilon=EpsilonCeilings(), noise_floor=1000.0)
    terms = replace(TERMS, delta=1e-3)
    assert isinstance(outcome := decide(policy, replace(ASK, terms=terms)), Refused)
    assert outcome.reason == "noise-floor"


def test_several_limits_are_all_said() -> None:
    policy = replace(POLICY, noise_floor=2 * noise(TERMS))
    assert isinstance(outcome := decide(policy, replace(ASK, terms=replace(TERMS, epsilon=9.0, clip=2.0))), Clamped)
    assert [text.split()[0] for text in outcome.why] == ["epsilon", "clip", "noise"]
    assert outcome.terms.clip == 1.0
    assert outcome.terms.epsilon < 4.0


@pytest.mark.parametrize(
    ("change", "policy", "reason"),
    [
        ({"epsilon": 9.0}, {}, "epsilon"),
        ({"clip": 3.0}, {}, "clip"),
        ({}, {"noise_floor": 50.0}, "noise-floor"),
    ],
)
def test_where_the_noise_of_a_sum_is_shared_nothing_is_clamped(
    change: dict[str, Any], policy: dict[str, Any], reason: str
) -> None:
    terms = replace(TERMS, noise="distributed", **change)
    assert isinstance(outcome := decide(replace(POLICY, **policy), replace(ASK, terms=terms)), Refused)
    assert outcome.reason == reason
    assert "one cannot train under other terms" in outcome.ask


def test_every_reason_is_a_word_that_may_cross_the_wire() -> None:
    assert set(REASONS) <= set(errors().words)
    assert AskRefused("hours", found="x", expected="y").code == "hours"
    assert AskRefused("row 7 of somebody", found="x", expected="y").code == "policy"


@pytest.mark.parametrize(
    "wrong",
    [
        {"noise_floor": 0.0},
        {"noise_floor": 1001.0},
        {"clip_ceiling": float("inf")},
        {"epsilon": EpsilonCeilings(run=-1.0)},
        {"highest_level": 6},
        {"smallest_cohort": 0},
        {"schema": 2},
        {"institution": ""},
        {"studies": ("x",) * 5000},
    ],
)
def test_a_policy_that_cannot_be_meant_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        replace(POLICY, **wrong)


@pytest.mark.parametrize(
    ("at", "holds"),
    [
        ("2027-01-04T19:59+08:00", False),
        ("2027-01-04T20:00+08:00", True),
        ("2027-01-05T05:59+08:00", True),  # the night that began on Monday
        ("2027-01-05T06:00+08:00", False),
        ("2027-01-04T05:00+08:00", False),  # the night that began on Sunday
        ("2027-01-04T12:00+00:00", True),  # 20:00 in Shanghai
    ],
)
def test_hours_past_midnight_belong_to_the_day_on_which_they_begin(at: str, holds: bool) -> None:
    night = Hours(("mon",), start="20:00", end="06:00", zone="Asia/Shanghai")
    assert night.hold(datetime.fromisoformat(at)) is holds


@pytest.mark.parametrize(
    "wrong", [{"days": ("monday",)}, {"days": ()}, {"start": "9:00"}, {"end": "24:00"}, {"zone": "Mars/Olympus"}]
)
def test_hours_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Hours(**{"days": ("mon",), "start": "09:00", "end": "17:00", "zone": "UTC", **wrong})
