"""What consortium and policy allow, and what the rows have, becomes one line a study: whether it is answered here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from clients.checks_here import windows_here
from clients.checks_signed import manifest_here, policy_here
from clients.checkup import Line, Subject, need_facts
from clients.policy import ANY, Policy
from clients.policy_file import UNSIGNED
from fedcredit.trust.manifest import StudyRule


def check_studies(subject: Subject) -> Iterator[Line]:
    """A level above the policy's fails, since no study at all could be answered; else each study has its answer."""
    policy, rows = policy_here(subject), windows_here(subject)
    level = max(rows.level, need_facts(subject).level or 0)
    if level > policy.highest_level:
        remedy = f"leave the columns of that level out, or set highest_level: {level} in policy.yaml; {UNSIGNED}"
        yield Line("studies", False, f"rows of level {level}, the policy takes {policy.highest_level} at most", remedy)
        return
    rules = manifest_here(subject).studies
    for rule in rules:
        yield Line(f"study {rule.study}", True, _answer(rule, policy, rows.features, at=subject))
    if not rules:
        yield Line("studies", True, "the manifest names none yet")


def lacking(schema: Mapping[str, Any], features: tuple[str, ...]) -> list[str]:
    """Which of the rows' features a study's schema does not take; it may name them all, or one list.

    >>> lacking({"properties": {"features": {"items": {"enum": ["debt"]}}}}, ("debt", "cash"))
    ['cash']
    >>> lacking({"properties": {"features": {"type": "array"}}}, ("debt", "cash"))
    []
    """
    said = schema.get("properties", {}).get("features", {})
    known = said.get("const", said.get("items", {}).get("enum"))
    return [name for name in features if name not in known] if isinstance(known, list) else []


def _answer(rule: StudyRule, policy: Policy, features: tuple[str, ...], *, at: Subject) -> str:
    forbidden = policy.columns.forbidden(dict.fromkeys(features, 0))
    unknown = lacking(rule.schema, features)
    for is_no, why in (
        (rule.until < at.now, f"it ended on {rule.until:%Y-%m-%d}"),
        (ANY not in policy.studies and rule.study not in policy.studies, "the policy does not name it"),
        (ANY not in policy.purposes and rule.purpose not in policy.purposes, f"the policy allows no {rule.purpose}"),
        (bool(forbidden), f"the policy forbids {len(forbidden)} of the rows' columns"),
        (bool(unknown), f"it takes {len(unknown)} of the rows' columns under other names, or not at all"),
    ):
        if is_no:
            return f"refused here: {why}"
    return f"answered, for {rule.purpose}, until {rule.until:%Y-%m-%d}"
