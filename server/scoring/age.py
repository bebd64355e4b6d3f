"""The moment when indicators were known becomes their age, or a refusal of what is too old."""

from __future__ import annotations

from datetime import datetime

from server.scoring.policy import Policy
from server.scoring.refusal import ScoringRefused

MOST_AHEAD_HOURS = 0.1  # clocks differ


def age_hours(known_at: str | None, *, now: datetime, policy: Policy) -> float | None:
    """Hours since that moment, None where none was told.

    Raises:
        ScoringRefused: it is no moment, it is to come, or it is longer ago than the policy takes.
    """
    if known_at is None:
        return None
    try:
        moment = datetime.fromisoformat(known_at)
        if moment.tzinfo is None:
            raise ValueError("no offset")  # noqa: TRY301 - the same as any other text that is no moment
        hours = (now - moment).total_seconds() / 3600
    except (ValueError, OverflowError):
        hint = "2025-12-31T08:00:00+08:00"
        raise ScoringRefused(
            "known_at", code="field", found="no moment", expected="ISO 8601 with its offset", hint=hint
        ) from None
    if hours < -MOST_AHEAD_HOURS:
        raise ScoringRefused("known_at", code="field", found="a moment to come", expected="a moment that has been")
    if hours > policy.fresh_hours and policy.stale == "refuse":
        expected = f"at most {policy.fresh_hours:g} h"
        hint = "fetch the indicators again"
        raise ScoringRefused(
            "known_at", code="stale", found=f"indicators {hours:.0f} h old", expected=expected, hint=hint
        )
    return max(hours, 0.0)
