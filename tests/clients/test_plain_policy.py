"""A policy in sentences says what it allows, and no less than it allows."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from clients.hours import Hours
from clients.plain_policy import in_plain_words
from clients.policy import Columns, EpsilonCeilings, Policy


def words(**rules: Any) -> str:
    said: dict[str, Any] = {"institution": "a", "purposes": ("risk",), "studies": ("s",), "expires": date(2027, 1, 1)}
    return "\n".join(in_plain_words(Policy(**{**said, **rules})))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"stopped": True}, "STOPPED"),
        ({"require_masks": False}, "may leave in the clear"),
        ({"require_masks": True, "smallest_cohort": 6}, "masked sum of 6 institutions"),
        ({"require_masks": False, "smallest_cohort": 6}, "masked sum of 6 institutions"),
        ({"studies": ("*",)}, "every one that the signed manifest names"),
        ({"purposes": ("*",)}, "for any purpose"),
        ({"purposes": ("risk", "fraud")}, "for the purposes risk, fraud"),
        ({"columns": Columns(("debt",), ("phone",))}, "only debt but phone"),
        ({"highest_level": 4}, "of level 4 at most"),
        ({}, "a study without noise is answered"),
        ({"epsilon": EpsilonCeilings(run=2)}, "epsilon 2 at most"),
        ({"epsilon": EpsilonCeilings(lifetime=8)}, "lifetime here a company spends epsilon 8"),
        ({"noise_floor": 1.5}, "noise multiplier of 1.5"),
        ({"clip_ceiling": 0.5}, "by 0.5 at most"),
        ({"metrics": "exact"}, "Exact counts of validation scores may leave"),
        ({"hours": Hours(("fri",), "20:00", "06:00")}, "fri from 20:00 to 06:00 (UTC)"),
        ({"expires": date(2027, 5, 6)}, "until the end of 2027-05-06"),
    ],
)
def test_each_rule_has_its_sentence(rules: dict[str, Any], expected: str) -> None:
    assert expected in words(**rules)


def test_a_name_cannot_move_the_cursor_of_who_reads_it() -> None:
    assert "\x1b" not in words(studies=("fine\x1b[2Aforged",), columns=Columns(("\x1b[8m",)))
