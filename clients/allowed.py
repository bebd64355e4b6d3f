"""A task becomes the rule that the consortium's officers signed for its study, or is refused.

A study that is not in the manifest is refused, one that is over, and one whose parameters are outside of its schema.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from pathlib import Path

from clients.policy import AskRefused
from fedcredit.trust.manifest import Manifest, ManifestFile, ManifestRefused, StudyRule

Looks = tuple[int, int, int, int]


def purpose_of(rule: StudyRule | None, text: str, *, at: datetime) -> str:
    """The purpose of a study that the manifest has, that is not over, and whose task is within its schema.

    Raises:
        AskRefused: study, expired or schema; the text that does not fit is not repeated.
    """
    rule = in_force(rule, at=at)
    place = outside(json.dumps(rule.schema, sort_keys=True), text)
    if place is not None:
        raise AskRefused("schema", found=f"{place} outside of what was agreed", expected="the study's JSON-schema")
    return rule.purpose


def in_force(rule: StudyRule | None, *, at: datetime) -> StudyRule:
    """The rule of a study that the manifest has and that is not over. Raises AskRefused: study or expired."""
    if rule is None:
        hint = "the consortium's officers sign each study into the manifest"
        raise AskRefused("study", found="none of the manifest", expected="a registered study", hint=hint)
    if at >= rule.until:
        raise AskRefused("expired", found="a study that is over", expected=f"one until {rule.until:%Y-%m-%d} at most")
    return rule


@lru_cache(maxsize=64)
def outside(schema: str, text: str) -> str | None:
    """The place in a task's JSON that its study's schema does not allow; None where all of it is within.

    >>> outside('{"properties": {"seed": {"maximum": 9}}}', '{"seed": 10}')
    'task.seed'
    """
    from jsonschema import Draft202012Validator
    from referencing import Registry

    # An empty registry: a `$ref` to elsewhere is an error, and is never fetched.
    validator = Draft202012Validator(json.loads(schema), registry=Registry())
    try:
        faults = sorted(validator.iter_errors(json.loads(text)), key=lambda fault: len(fault.absolute_path))
    except Exception as fault:
        raise AskRefused("schema", found=type(fault).__name__, expected="a schema that can be applied") from None
    if not faults:
        return None
    # Names of fields are ours; a key that is not may be anything, so only the way to its parent is told.
    return ".".join(["task", *(str(part) for part in faults[0].absolute_path)])


@dataclass(frozen=True)
class Rules:
    """The manifest that an institution keeps, read again when the file looks other than before."""

    path: Path

    def of(self, study: str, *, at: datetime) -> StudyRule | None:
        """The study's rule, None where there is none.

        Raises:
            ManifestRefused, SealBroken: the manifest is missing, over, older than one seen, or not as it was signed.
        """
        try:
            found = self.path.stat()
        except OSError:
            hint = "fedcredit node join brings it"
            raise ManifestRefused("manifest", found="no file", expected="the consortium's", hint=hint) from None
        looks = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
        manifest = _verified(self.path, looks, at.astimezone(UTC).date())
        if at >= manifest.expires:
            raise ManifestRefused("manifest", found="one that has expired", expected="a newer one")
        return manifest.rule_for(study)


@lru_cache(maxsize=16)
def _verified(path: Path, looks: Looks, day: date) -> Manifest:
    return ManifestFile(path).read(now=datetime.combine(day, time.min, UTC))
