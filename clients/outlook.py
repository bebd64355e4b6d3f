"""A study's rule and a policy become what the node will answer, as far as the rule fixes what is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from clients.leaves import fixed_by, value_of
from clients.policy import Ask, Clamped, EpsilonCeilings, Granted, Policy, Refused, decide
from fedcredit.errors import FedCreditError
from fedcredit.strict import build

TERMS = ("epsilon", "delta", "clip", "sample_rate", "steps", "rounds")
UNKNOWN_COHORT = 1000  # a sum as large as any: what is not fixed cannot be refused yet


@dataclass(frozen=True)
class Outlook:
    """granted, clamped or refused, with why; and what the rule leaves open, so that each message decides."""

    outcome: str
    why: tuple[str, ...]
    terms: Mapping[str, Any] | None
    left_open: tuple[str, ...]


def outlook(
    policy: Policy, *, study: str, purpose: str, schema: Mapping[str, Any], columns: Mapping[str, int], at: datetime
) -> Outlook:
    """The answer to the most that the study may ask; what its schema leaves open is named, not guessed."""
    fixed, left_open = fixed_by(schema), list[str]()
    terms = None
    if fixed.is_private is not False:
        terms, missing = _terms(schema)
        left_open += missing
    is_masked = fixed.is_masked
    if is_masked is None:
        left_open.append("masking")
        is_masked = True
    if fixed.metrics is None:
        left_open.append("metrics")
    cohort = _cohort(schema) if is_masked else 1
    if is_masked and cohort is None:
        left_open.append("masking.groups")
    features = value_of(schema, "features")
    if isinstance(features, list):
        highest = max(columns.values(), default=policy.highest_level)
        columns = {str(name): columns.get(str(name), highest) for name in features}
    elif not columns:
        left_open.append("features")
    ask = Ask(
        study=study,
        purpose=purpose,
        columns=columns,
        terms=terms,
        cohort=UNKNOWN_COHORT if cohort is None else cohort,
        metrics=fixed.metrics or "none",
        is_masked=is_masked,
        at=at,
        counts=_counts(schema),
    )
    unknown_terms = terms is None and fixed.is_private is not False
    outcome = decide(_without_limits(policy) if unknown_terms else policy, ask)
    said = tuple(dict.fromkeys(left_open))
    match outcome:
        case Refused(reason, what):
            return Outlook("refused", (f"{reason}: {what}",), None, said)
        case Clamped(clamped, why):
            return Outlook("clamped", why, vars(clamped), said)
        case Granted(granted):
            return Outlook("granted", (), None if granted is None else vars(granted), said)


def _terms(schema: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """The terms of the largest epsilon and clip that the schema allows, and what of them it does not fix."""
    values = {name: value_of(schema, "privacy", name) for name in TERMS}
    missing = [f"privacy.{name}" for name, value in values.items() if not isinstance(value, int | float)]
    if missing:
        return None, missing
    from fedcredit.federation.messages import PrivacyTerms

    noise = value_of(schema, "privacy", "noise")
    try:
        return build(
            PrivacyTerms, {**values, **({"noise": noise} if isinstance(noise, str) else {})}, where="privacy"
        ), []
    except FedCreditError:
        return None, ["privacy"]


def _counts(schema: Mapping[str, Any]) -> Any:
    """The most evaluations, and epsilon of them, that the schema allows; None where it leaves them open."""
    from fedcredit.federation.counting import CountTerms

    if value_of(schema, "metrics") != "noised":
        return None
    values = {name: value_of(schema, "counts", name) for name in ("evaluations", "epsilon")}
    try:
        return build(CountTerms, values, where="counts")
    except FedCreditError:
        return None


def _cohort(schema: Mapping[str, Any]) -> int | None:
    groups = value_of(schema, "masking", "groups")
    if isinstance(groups, list) and all(isinstance(group, list) for group in groups) and groups:
        return min(len(group) for group in groups)
    return None


def _without_limits(policy: Policy) -> Policy:
    """The policy without its limits on terms, which cannot be held against terms that are not known yet."""
    return replace(policy, epsilon=EpsilonCeilings(), noise_floor=None, clip_ceiling=None)
