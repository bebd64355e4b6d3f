"""The bytes of evidence.json become a candidate's checked figures, or are refused with the place."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from fedcredit.errors import ConfigError, PolicyRefused
from fedcredit.strict import build
from fedcredit.trust.words import checked_digest

SCHEMA = 1
MAX_BYTES = 1 << 20
AGAIN = "validate the candidate again: fedcredit model validate VERSION"
FIGURES = (
    "auc",
    "delta_auc",
    "gini",
    "ks",
    "ece",
    "brier_skill",
    "observed_expected",
    "slope",
    "jeffreys_p",
    "psi",
    "fairness_gap",
    "epsilon",
    "epsilon_budget",
    "membership_advantage",
    "data_age_hours",
    "quarantined",
    "bad_rate_at_approval",
)


class EvidenceRefused(PolicyRefused):
    """A validation's evidence is missing, of another bundle or another champion, or not of the form it must have."""

    code = "evidence"


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval; None where it is not known."""

    value: float | None
    low: float | None = None
    high: float | None = None
    about: str = ""

    def __post_init__(self) -> None:
        if any(number is not None and not math.isfinite(number) for number in (self.low, self.value, self.high)):
            raise ConfigError("value", found="no number", expected="a finite number or null")
        # Not low <= value: a bootstrap of the calibration error lies above its point.
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ConfigError("low", found=f"{self.low:g} above {self.high:g}", expected="low <= high")


@dataclass(frozen=True)
class Subject:
    """The model that was validated."""

    name: str
    version: Any  # its number in the registry, or a word; never read but to be shown
    bundle_sha256: str
    study: str

    def __post_init__(self) -> None:
        checked_digest(self.bundle_sha256, where="bundle_sha256")


@dataclass(frozen=True)
class Rows:
    """The rows that it was validated on."""

    dataset: str
    split: str
    rows: int
    defaults: int
    label_definition: str
    acceptance: str
    synthetic: bool

    def __post_init__(self) -> None:
        if not 0 <= self.defaults <= self.rows:
            raise ConfigError("defaults", found=f"{self.defaults} of {self.rows} rows", expected="0 to all of them")


@dataclass(frozen=True)
class Against:
    """The champion that it was compared with."""

    bundle_sha256: str
    version: Any

    def __post_init__(self) -> None:
        checked_digest(self.bundle_sha256, where="bundle_sha256")


@dataclass(frozen=True)
class Evidence:
    """What a validation found about one bundle."""

    model: Subject
    made: datetime
    data: Rows
    against: Against | None
    figures: Mapping[str, Figure]
    sha256: str

    def figures_at(self, now: datetime) -> dict[str, Figure]:
        """The figures as they are at this moment: the data has aged since the validation."""
        figures, age = dict(self.figures), self.figures.get("data_age_hours")
        if age is not None and age.value is not None:
            figures["data_age_hours"] = replace(age, value=age.value + (now - self.made).total_seconds() / 3600)
        return figures

    def check(self, *, model: str, bundle_sha256: str, champion: str | None, now: datetime) -> None:
        """Return if it is about this bundle of this model, beside the champion in force.

        Raises:
            EvidenceRefused: says which it is about instead.
        """
        if self.model.bundle_sha256 != bundle_sha256 or self.model.name != model:
            found = f"evidence about {self.model.name}, bundle {self.model.bundle_sha256[:12]}"
            raise EvidenceRefused("evidence", found=found, expected=f"{model}, bundle {bundle_sha256[:12]}", hint=AGAIN)
        over = self.against.bundle_sha256 if self.against else None
        if over != champion:
            found = f"a comparison with {_short(over)}"
            expected = f"one with the champion in force, {_short(champion)}"
            raise EvidenceRefused("evidence", found=found, expected=expected, hint=AGAIN)
        if self.made > now:
            raise EvidenceRefused(
                "evidence", found=f"made on {self.made.isoformat()}", expected="a moment before now", hint=AGAIN
            )


def read_evidence(path: Path) -> Evidence:
    """The evidence in a file, every key and number checked.

    Raises:
        EvidenceRefused: there is none, or it is not of the form it must have.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        found = f"none about bundle {path.stem[:12]}"
        raise EvidenceRefused("evidence", found=found, expected="that of a validation", hint=AGAIN) from None
    return evidence_of(data, where=f"evidence about {path.stem[:12]}")


def evidence_of(data: bytes, *, where: str) -> Evidence:
    """The evidence in these bytes. Raises EvidenceRefused at anything else."""
    if len(data) > MAX_BYTES:
        raise EvidenceRefused(where, found="an oversize file", expected=f"at most {MAX_BYTES} bytes", hint=AGAIN)
    try:
        raw = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
        return _evidence(raw, hashlib.sha256(data).hexdigest(), where=where)
    except ConfigError as fault:
        raise EvidenceRefused(fault.where, found=fault.found, expected=fault.expected, hint=AGAIN) from None
    except (ValueError, RecursionError):
        raise EvidenceRefused(where, found="another form", expected="evidence as JSON", hint=AGAIN) from None


def _evidence(raw: Any, sha256: str, *, where: str) -> Evidence:
    body = build(_Body, raw, where=where)
    made = datetime.fromisoformat(body.made)
    if body.schema != SCHEMA or made.tzinfo is None:
        found = f"schema {body.schema}, made {body.made[:40]}"
        raise ConfigError(where, found=found, expected=f"schema {SCHEMA}, a moment with its zone")
    unknown = sorted(set(body.figures) - set(FIGURES))
    if unknown:
        raise ConfigError(f"{where}.figures", found=repr(unknown[0][:80]), expected=f"some of {', '.join(FIGURES)}")
    figures = {name: build(Figure, one, where=f"{where}.figures.{name}") for name, one in body.figures.items()}
    return Evidence(body.model, made, body.data, body.against, figures, sha256)


@dataclass(frozen=True)
class _Body:
    schema: int
    model: Subject
    made: str
    data: Rows
    against: Against | None
    figures: Mapping[str, Any]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    group = dict(pairs)
    if len(group) < len(pairs):
        raise ValueError("a key that is there twice")
    return group


def _no_number(_: str) -> NoReturn:
    raise ValueError("a number that is none")


def _short(sha256: str | None) -> str:
    return f"bundle {sha256[:12]}" if sha256 else "none"
