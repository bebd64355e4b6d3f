"""Gates as data - a figure, its part and its limit - become verdicts over a candidate's figures."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from fedcredit.errors import ConfigError
from fedcredit.strict import build
from fedcredit.trust.entries import identity_of
from fedcredit.trust.envelope import MAX_SIGNATURES, canonical
from fedcredit.trust.keys import PublicIdentity
from fedcredit.trust.words import checked_name, same_name
from server.promotion.evidence import FIGURES, Figure

KIND = "gates"
SCHEMA = 1
LEAST_SIGNATURES = 2
MAX_GATES = 64
SHIPPED = Path(__file__).with_name("gates.yaml")
LIMITS = {"at_least": ">=", "at_most": "<=", "above": ">", "below": "<", "at_most_figure": "<="}


@dataclass(frozen=True)
class Gate:
    """One condition: the figure's part against exactly one limit, a number or another figure's value."""

    name: str
    figure: str
    part: Literal["value", "low", "high"]
    missing: Literal["refuse", "pass", "first"]
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    at_most_figure: str | None = None

    def __post_init__(self) -> None:
        checked_name(self.name, where="name")
        if set(self.limits) - {"at_most_figure"} and any(abs(value) == float("inf") for value in self._numbers()):
            raise ConfigError("limit", found="infinity", expected="a number")
        if len(self.limits) != 1:
            found = ", ".join(self.limits) or "none"
            raise ConfigError("limit", found=found, expected=f"exactly one of {', '.join(LIMITS)}")
        for figure in (self.figure, self.at_most_figure or self.figure):
            if figure not in FIGURES:
                raise ConfigError("figure", found=repr(figure[:80]), expected=f"one of {', '.join(FIGURES)}")

    @property
    def limits(self) -> dict[str, float | str]:
        """The limits that are set; one, once the gate is made."""
        return {name: value for name in LIMITS if (value := getattr(self, name)) is not None}

    def _numbers(self) -> list[float]:
        return [value for value in self.limits.values() if isinstance(value, float)]

    def judge(self, figures: Mapping[str, Figure], *, is_first: bool) -> Verdict:
        """Whether the figures pass; `is_first` where there is no champion yet.

        >>> gate = Gate("calibration error", "ece", "value", "refuse", at_most=0.02)
        >>> print(gate.judge({"ece": Figure(0.031)}, is_first=True))
        calibration error: ece 0.031, limit <= 0.02: refused
        """
        ((kind, limit),) = self.limits.items()
        figure = figures.get(self.figure)
        value = getattr(figure, self.part) if figure else None
        bound: float | None = limit if isinstance(limit, float) else _value(figures, str(limit))
        if value is None or bound is None:
            passed = self.missing == "pass" or (self.missing == "first" and is_first)
        else:
            passed = {
                "at_least": value >= bound,
                "at_most": value <= bound,
                "above": value > bound,
                "below": value < bound,
                "at_most_figure": value <= bound,
            }[kind]
        said = f"{bound:g}" if bound is not None else f"{limit}, which is not known"
        part = "" if self.part == "value" else f", {self.part} end of its interval"
        return Verdict(self.name, f"{self.figure}{part}", value, f"{LIMITS[kind]} {said}", passed)

    def as_dict(self) -> dict[str, Any]:
        """As the gates file has it: limits that are not set left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Verdict:
    """What one gate found: the figure's value (None: it is not known), the limit, and whether it lets pass."""

    gate: str
    figure: str
    value: float | None
    limit: str
    passed: bool

    def __str__(self) -> str:
        found = "not known" if self.value is None else f"{self.value:g}"
        return f"{self.gate}: {self.figure} {found}, limit {self.limit}: {'passed' if self.passed else 'refused'}"


@dataclass(frozen=True)
class Gates:
    """The gates of a model, who may approve past them, and how many of these have to.

    after: digest of the gates that they follow, so that old ones with their signatures are never put back.
    """

    model: str
    gates: tuple[Gate, ...]
    approvers: Mapping[str, PublicIdentity]
    threshold: int = LEAST_SIGNATURES
    after: str | None = None

    def __post_init__(self) -> None:
        names = [gate.name for gate in self.gates]
        if not 0 < len(names) <= MAX_GATES or len(set(names)) < len(names):
            raise ConfigError("gates", found=f"{len(names)} of them", expected=f"1 to {MAX_GATES}, each name once")
        people = {same_name(checked_name(name, where="approvers")) for name in self.approvers}
        keys = {identity.fingerprint for identity in self.approvers.values()}
        if len(people) < len(self.approvers) or len(keys) < len(self.approvers):
            raise ConfigError("approvers", found="one person or one key twice", expected="different people and keys")
        if len(self.approvers) > MAX_SIGNATURES:
            found = f"{len(self.approvers)} of them"
            raise ConfigError("approvers", found=found, expected=f"at most {MAX_SIGNATURES}")
        if not LEAST_SIGNATURES <= self.threshold <= len(self.approvers):
            found = f"{self.threshold} of {len(self.approvers)} approvers"
            raise ConfigError("threshold", found=found, expected=f"{LEAST_SIGNATURES} or more, and as many approvers")

    @property
    def sha256(self) -> str:
        """Digest of the body that was signed: the same however many have signed it."""
        return hashlib.sha256(canonical(self.body())).hexdigest()

    def judge(self, figures: Mapping[str, Figure], *, is_first: bool) -> list[Verdict]:
        """The verdict of every gate, in their order."""
        return [gate.judge(figures, is_first=is_first) for gate in self.gates]

    def person(self, fingerprint: str) -> str | None:
        """The approver with this key."""
        return next((name for name, one in self.approvers.items() if one.fingerprint == fingerprint), None)

    def body(self) -> dict[str, Any]:
        """What the approvers sign."""
        return {
            "schema": SCHEMA,
            "model": self.model,
            "gates": [gate.as_dict() for gate in self.gates],
            "approvers": {name: identity.to_bytes().hex() for name, identity in self.approvers.items()},
            "threshold": self.threshold,
            "after": self.after,
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Gates:
        """The gates in a body. Raises ConfigError: a key or a value is not as it must be."""
        raw = build(_Body, body, where=KIND)
        if raw.schema != SCHEMA:
            raise ConfigError(KIND, found=f"schema {raw.schema}", expected=f"schema {SCHEMA}")
        approvers = {name: identity_of(key, where="approvers") for name, key in raw.approvers.items()}
        return cls(raw.model, raw.gates, approvers, raw.threshold, raw.after)


def read_gates(path: Path = SHIPPED) -> tuple[Gate, ...]:
    """The list of gates in a YAML file; as shipped, those of a model that decides on credit.

    Raises:
        ConfigError: no such file, or a gate is not as it must be.
    """
    import yaml

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        raise ConfigError(path.name, found="no readable YAML", expected="a list of gates") from None
    return build(_List, {"gates": raw}, where=path.name).gates


@dataclass(frozen=True)
class _List:
    gates: tuple[Gate, ...]


@dataclass(frozen=True)
class _Body:
    schema: int
    model: str
    gates: tuple[Gate, ...]
    approvers: Mapping[str, str]
    threshold: int
    after: str | None


def failed(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that do not let pass."""
    return [verdict for verdict in verdicts if not verdict.passed]


def _value(figures: Mapping[str, Figure], name: str) -> float | None:
    figure = figures.get(name)
    return figure.value if figure else None
