"""A study becomes units of work: one model trained and scored, kept on disk, so that a run can be cut and resumed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from fedcredit.settings import StudySettings


@dataclass(frozen=True)
class Unit:
    """One model: its arm and method, whose it is ("" for a shared one), who was left out, epsilon (None: no privacy)
    and seed.
    """

    arm: str
    method: str
    institution: str
    left_out: str
    epsilon: float | None
    seed: int

    @property
    def name(self) -> str:
        """A file name for the unit: readable in front, unique by its digest.

        >>> Unit("local", "local", "甲 & Co", "", 3.0, 0).name
        'local-local-eps3-seed0-ecd77806'
        """
        digest = hashlib.sha256(repr(sorted(asdict(self).items())).encode()).hexdigest()[:8]
        epsilon = "none" if self.epsilon is None else f"{self.epsilon:g}"
        return f"{self.arm}-{self.method}-eps{epsilon}-seed{self.seed}-{digest}"

    def __str__(self) -> str:
        who = self.institution or (f"without {self.left_out}" if self.left_out else "all")
        privacy = "no DP" if self.epsilon is None else f"eps {self.epsilon:g}"
        return f"{self.arm}/{self.method}, {who}, {privacy}, seed {self.seed}"

    def touches(self, institution: str) -> bool:
        """Whether rows of the institution were trained on."""
        return self.institution in ("", institution) and self.left_out != institution


def study_epsilon(spent: Mapping[Unit, float], institutions: Sequence[str]) -> float:
    """What all private units spent together at the institution where they spent most, by basic composition.

    >>> a, b = Unit("federated", "f", "", "", 3.0, 0), Unit("local", "l", "x", "", 3.0, 0)
    >>> study_epsilon({a: 3.0, b: 2.5}, ["x", "y"])
    5.5
    """
    return max(sum(epsilon for unit, epsilon in spent.items() if unit.touches(name)) for name in institutions)


def units_of(settings: StudySettings, institutions: Sequence[str], *, has_incumbent: bool) -> list[Unit]:
    """Every unit of the study, the federated ones first: they take longest and are looked at first."""
    found: list[Unit] = []
    for epsilon in settings.privacy.epsilons:
        for seed in settings.seeds:
            if "federated" in settings.arms:
                found += [Unit("federated", method, "", "", epsilon, seed) for method in _methods(settings, epsilon)]
            if "federated" in settings.arms and settings.leave_one_out:
                found += [Unit("federated", settings.methods[0], "", name, epsilon, seed) for name in institutions]
            if "pooled" in settings.arms:
                found += [Unit("pooled", method, "", "", epsilon, seed) for method in settings.pooled_methods]
            if "local" in settings.arms:
                found += [Unit("local", "local", name, "", epsilon, seed) for name in institutions]
    # What an institution can do alone needs no noise: its rows and its model stay at home.
    if "best_alone" in settings.arms:
        found += [Unit("best_alone", "best_alone", name, "", None, settings.seeds[0]) for name in institutions]
    if "incumbent" in settings.arms and has_incumbent:
        found += [Unit("incumbent", "incumbent", name, "", None, settings.seeds[0]) for name in institutions]
    return found


def _methods(settings: StudySettings, epsilon: float | None) -> list[str]:
    """The methods that differ at this epsilon: without privacy, who adds the noise makes no difference."""
    if epsilon is not None:
        return list(settings.methods)
    recipes = {m: settings.recipe_for("federated", is_private=False, method=m) for m in settings.methods}
    plain = [method for method, recipe in recipes.items() if recipe.noise == "local"]
    return plain or list(settings.methods)


def metrics_under_privacy(settings: StudySettings) -> Literal["exact", "noised", "none"]:
    """Exact ones only where the rows are public or synthetic, whatever was asked."""
    return "none" if settings.data.name == "table" else settings.privacy.metrics


def noise_of(unit: Unit, settings: StudySettings) -> str:
    """Where the unit's noise is added; a pooled table is one institution's, whose noise is that of a trusted centre."""
    if unit.epsilon is None:
        return "none"
    if unit.arm != "federated":
        return "central" if unit.arm == "pooled" else "local"
    return settings.recipe_for(unit.arm, is_private=True, method=unit.method).noise
