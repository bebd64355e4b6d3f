"""Figures of a validation become evidence.json, which the promotion gates read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from fedcredit.errors import RunError
from server.promotion.evidence import FIGURES

SCHEMA = 1


@dataclass(frozen=True)
class Figure:
    """A figure with the ends of its 95 % interval, where it has one; None where it is not known.

    >>> figure(0.81, 0.78, float("nan"), about="AUC")
    Figure(value=0.81, low=None, high=None, about='AUC')
    """

    value: float | None
    low: float | None
    high: float | None
    about: str

    @property
    def interval(self) -> dict[str, float | None]:
        """As `evaluation.figures.interval` takes it."""
        return {"point": self.value, "low": self.low, "high": self.high}


def figure(value: float | None, low: float | None = None, high: float | None = None, *, about: str) -> Figure:
    """A figure without NaN or infinity: an interval with one end is none."""
    told = [None if one is None or not math.isfinite(one) else float(one) for one in (value, low, high)]
    both = told[0] is not None and told[1] is not None and told[2] is not None
    return Figure(told[0], told[1] if both else None, told[2] if both else None, about)


def unknown(why: str) -> Figure:
    """A figure that is not known, with the reason."""
    return Figure(None, None, None, why)


@dataclass(frozen=True)
class Evidence:
    """What is known of a model on its judged data; `against` is the champion that `delta_auc` is about.

    It holds every figure that a gate may ask for; one that is not known has no value, and `about` says why.
    """

    model: Mapping[str, Any]
    made: str
    data: Mapping[str, Any]
    against: Mapping[str, Any] | None
    figures: Mapping[str, Figure]

    def __post_init__(self) -> None:
        if missing := [name for name in FIGURES if name not in self.figures]:
            raise RunError("evidence", found=f"no figure {', '.join(missing)}", expected="every figure, or null")

    def as_dict(self) -> dict[str, Any]:
        """The content of evidence.json."""
        figures = {name: asdict(one) for name, one in self.figures.items()}
        return {"schema": SCHEMA, **asdict(self), "figures": figures}

    def as_made_before(self, before: bytes) -> Evidence:
        """This evidence with the moment of an earlier one that says the same, so that its approvals still stand."""
        try:
            earlier = json.loads(before)
            made = str(earlier["made"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return self
        same = replace(self, made=made)
        return same if same.text().encode() == before else self

    def text(self) -> str:
        """evidence.json as it is written: equal evidence gives equal bytes."""
        return json.dumps(self.as_dict(), ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False) + "\n"
