"""Steps of calibration become the lines of a model's card, and back, every number checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from fedcredit.errors import ModelError
from fedcredit.models.calibrated import MAX_KNOTS, Beta, Isotonic, PriorShift, Step, Temperature

MAX_STEPS = 16  # a card comes from a file that somebody sent
KINDS: dict[str, Any] = {kind.kind: kind for kind in (Temperature, Beta, Isotonic, PriorShift)}


def as_card(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The steps as a card lists them.

    >>> as_card([PriorShift(0.5, 0.2)])
    [{'kind': 'prior_shift', 'from_rate': 0.5, 'to_rate': 0.2}]
    """
    return [
        {"kind": step.kind} | {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(step).items()}
        for step in steps
    ]


def from_card(listed: object) -> tuple[Step, ...]:
    """The steps of a card, every number checked; a card is a file that anybody may have written.

    Raises:
        ModelError: another form, an unknown kind, or numbers out of range.
    """
    if not isinstance(listed, list) or len(listed) > MAX_STEPS:
        raise ModelError("calibration", found="another form", expected=f"a list of up to {MAX_STEPS} steps")
    return tuple(_step(one) for one in listed)


def _step(told: object) -> Step:
    kind = told.get("kind") if isinstance(told, Mapping) else None
    if not isinstance(told, Mapping) or not isinstance(kind, str) or kind not in KINDS:
        raise ModelError("calibration", found="a step of another kind", expected=f"one of {', '.join(KINDS)}")
    names = {field.name for field in fields(KINDS[kind])}
    if set(told) - {"kind"} != names:
        raise ModelError(f"calibration, {kind}", found="other keys", expected=", ".join(sorted(names)))
    if kind == Isotonic.kind:
        return Isotonic(x=_knots(told["x"]), y=_knots(told["y"]))
    return KINDS[kind](**{name: _number(told[name]) for name in names})


def _knots(value: object) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) > MAX_KNOTS:
        raise ModelError("calibration", found="knots of another form", expected=f"a list of up to {MAX_KNOTS}")
    return tuple(_number(one) for one in value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ModelError("calibration", found="no finite number", expected="a number")
    return float(value)
