"""A policy becomes sentences: what it lets happen to this institution's rows, for somebody who reads no YAML."""

from __future__ import annotations

from collections.abc import Sequence

from clients.policy import ANY, Policy
from fedcredit.data.governance.levels import LEVELS

PEOPLE = "institutions"


def in_plain_words(policy: Policy) -> list[str]:
    """One sentence a rule, the strictest first.

    >>> from datetime import date
    >>> policy = Policy("bank-a", ("credit-risk",), ("*",), date(2027, 12, 31))
    >>> in_plain_words(policy)[1]
    'Studies: every one that the signed manifest names, for the purpose credit-risk, until the end of 2027-12-31 (UTC).'
    """
    lines = [
        "It is STOPPED: nothing is answered until the officer signs it otherwise."
        if policy.stopped
        else _masks(policy),
        f"Studies: {_studies(policy)}, {_purposes(policy)}, until the end of {policy.expires} (UTC).",
        f"Columns: {_columns(policy)}, of level {policy.highest_level} at most ({LEVELS[policy.highest_level]}).",
        *_privacy(policy),
        *_metrics(policy),
    ]
    if policy.hours is not None:
        lines.append(f"Hours: {policy.hours}; at other times it answers nothing.")
    return lines


def _masks(policy: Policy) -> str:
    if policy.least_sum is None:
        return "An update may leave in the clear: the platform sees what this institution alone has learnt."
    if policy.smallest_cohort <= 1:
        return "An update leaves only under masks, which open to a sum over several institutions."
    return f"An update leaves only in a masked sum of {policy.smallest_cohort} {PEOPLE} or more."


def _studies(policy: Policy) -> str:
    return "every one that the signed manifest names" if ANY in policy.studies else _named(policy.studies)


def _purposes(policy: Policy) -> str:
    if ANY in policy.purposes:
        return "for any purpose"
    return f"for the purpose{'s' if len(policy.purposes) > 1 else ''} {_named(policy.purposes)}"


def _columns(policy: Policy) -> str:
    allowed = "all" if ANY in policy.columns.allow else f"only {_named(policy.columns.allow)}"
    return f"{allowed} but {_named(policy.columns.deny)}" if policy.columns.deny else allowed


def _privacy(policy: Policy) -> list[str]:
    run, lifetime = policy.epsilon.run, policy.epsilon.lifetime
    if not policy.is_private_only:
        return ["Privacy: no limit of its own; a study without noise is answered."]
    lines = []
    if run is not None:
        lines.append(f"Privacy: one run spends epsilon {run:g} at most; a study that asks for more gets {run:g}.")
    if lifetime is not None:
        lines.append(f"Privacy: over its lifetime here a company spends epsilon {lifetime:g} at most, then it is over.")
    if policy.noise_floor is not None:
        lines.append(f"Privacy: training has a noise multiplier of {policy.noise_floor:g} or more.")
    if policy.clip_ceiling is not None:
        lines.append(f"Privacy: one company moves a step by {policy.clip_ceiling:g} at most (clip).")
    return lines


def _metrics(policy: Policy) -> list[str]:
    if policy.metrics == "none":
        return ["No validation figures of private studies leave."]
    exact = "Exact counts of validation scores may leave."
    noised = "Counts of held-out scores may leave with noise only, and each evaluation is charged."
    lines = [exact if policy.metrics == "exact" else noised]
    if policy.evaluations is not None:
        lines.append(f"Evaluations: {policy.evaluations} a study at most.")
    if policy.epsilon.metrics is not None:
        lines.append(f"Evaluations: all of a study's with noise spend epsilon {policy.epsilon.metrics:g} at most.")
    return lines


def _named(names: Sequence[str]) -> str:
    # What came in a file may hold signs that move a terminal's cursor.
    return ", ".join(name if name.isprintable() else ascii(name) for name in names) or "none"
