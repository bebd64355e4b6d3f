"""What a study must reach, set beside what its comparisons measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fedcredit.errors import ConfigError


@dataclass(frozen=True)
class Target:
    """A bound on the point or on an end of the interval of some comparisons.

    `find` and `but_not` name fields of a comparison with one value or a list: find={"name": "federated - local"},
    but_not={"institution": "OTHER"}. Where several comparisons fit, the worst of them counts.
    """

    name: str
    find: Mapping[str, Any]
    figure: Literal["point", "low", "high"] = "point"
    above: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    but_not: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.above is None and self.at_least is None and self.at_most is None:
            raise ConfigError(f"target {self.name!r}", found="no bound", expected="above, at_least or at_most")

    def measure(self, comparisons: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The target's line in the report: name, asked, measured, met; nothing found is not met.

        >>> goal = Target("gain over local", {"name": "federated - mean local", "epsilon": 3.0}, "low", above=0.0)
        >>> goal.measure([{"name": "federated - mean local", "epsilon": 3.0, "low": 0.013}])
        {'name': 'gain over local', 'asked': 'low > 0', 'measured': 0.013, 'met': True}
        """
        fitting = [one for one in comparisons if _fits(one, self.find) and not _excluded(one, self.but_not)]
        figures = [float(one[self.figure]) for one in fitting if one[self.figure] is not None]
        worst = sorted(figures, key=self._slack)[:1]
        met = bool(worst) and self._slack(worst[0]) >= 0 and (self.above is None or worst[0] > self.above)
        return {"name": self.name, "asked": self.asked, "measured": worst[0] if worst else None, "met": met}

    @property
    def asked(self) -> str:
        bounds = ((">", self.above), (">=", self.at_least), ("<=", self.at_most))
        return f"{self.figure} " + " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)

    def _slack(self, figure: float) -> float:
        lower = [figure - bound for bound in (self.above, self.at_least) if bound is not None]
        return min([*lower, *([self.at_most - figure] if self.at_most is not None else [])])


def _fits(comparison: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    return all(comparison.get(name) in _listed(value) for name, value in fields.items())


def _excluded(comparison: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    return any(comparison.get(name) in _listed(value) for name, value in fields.items())


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else [value]
