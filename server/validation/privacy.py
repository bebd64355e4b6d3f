"""A run becomes what its training may have told of the companies: epsilon, unit, accountant, and the audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedcredit.errors import RunError
from fedcredit.evaluation.figures import figure as as_text
from server.validation.content import Section, facts, told
from server.validation.evidence import Figure, figure, unknown
from server.validation.files import document
from server.validation.source import Source

AUDIT = "audit.json"
COMMAND = "fedcredit study audit RUN"
CALIBRATED_LATER = "The calibration: it was fitted to outcomes after the run, which epsilon does not cover."
NO_NOISE = "trained without differential privacy: the weights may hold whatever the rows hold"
UNITS = {
    "company": "a company at each institution",
    "company-across-institutions": "a company at all institutions together",
    "institution": "a whole institution",
}


def privacy_figures(source: Source) -> dict[str, Figure]:
    """Epsilon of the model, its budget, the membership audit, and the replies set aside in training."""
    bundle, audit = source.bundle, read_audit(source)
    unit, noise = source.settings.privacy.unit, str(source.variant["noise"].iloc[0])
    target = source.variant["epsilon"].iloc[0]
    target = None if target != target else float(target)
    epsilon = unknown(NO_NOISE)
    if bundle.epsilon is not None:
        epsilon = figure(
            bundle.epsilon,
            about=f"spent by this model's training, delta {bundle.delta:g}, {noise} noise; unit: {UNITS[unit]}",
        )
    history = source.facts.get("history", [])
    aside = sum(len(one.get("quarantined", {})) for one in history)
    return {
        "epsilon": epsilon,
        "epsilon_budget": figure(target, about="what the study set as the target of this model's training"),
        "membership_advantage": membership(audit),
        "quarantined": figure(float(aside), about=f"replies set aside by the admission gate in {len(history)} rounds"),
    }


def membership(audit: Mapping[str, Any] | None) -> Figure:
    """2 AUC - 1 of the membership attack: 0 is a coin, 1 names every member."""
    if audit is None:
        return unknown(f"no audit of this model's training in the run folder: {COMMAND}")
    found = audit["membership"]
    ends = [2 * float(found[name]) - 1 for name in ("auc", "auc_low", "auc_high")]
    about = f"2 AUC - 1 of a membership attack with {int(found['shadows'])} shadow models, over companies"
    return figure(*ends, about=about)


def read_audit(source: Source) -> dict[str, Any] | None:
    """What `study audit` found of this model's unit; None where it was not run, or on another unit.

    Raises:
        RunError: audit.json is there and is no audit.
    """
    path = source.run / AUDIT
    if not path.is_file():
        return None
    audit = document(path)
    try:
        numbers = [audit["epsilon_claimed"], audit["epsilon_bound"], audit["delta"]]
        numbers += [audit["membership"][name] for name in ("auc", "auc_low", "auc_high", "shadows")]
        is_sound = all(type(one) in (int, float) for one in numbers) and type(audit["is_contradicted"]) is bool
    except (KeyError, TypeError):
        is_sound = False
    if not is_sound:
        raise RunError(str(path), found="another form", expected="what study audit writes", hint=COMMAND)
    return audit if audit.get("unit") == source.unit else None


def privacy(source: Source, figures: Mapping[str, Figure]) -> Section:
    """The section: what was spent, how it was counted, what an attack found."""
    bundle, audit, settings = source.bundle, read_audit(source), source.settings
    recipe = settings.recipe_for("federated", is_private=True)
    spent = {
        "Epsilon of this model": as_text(bundle.epsilon) if bundle.epsilon is not None else NO_NOISE,
        "Delta": "–" if bundle.delta is None else f"{bundle.delta:g}",
        "Target of the study": as_text(figures["epsilon_budget"].value),
        "Unit": UNITS[settings.privacy.unit],
        "Accountant": "PRV over all rounds of a run; PLD over the models of the study",
        "Noise": str(source.variant["noise"].iloc[0]),
        "Clip, sample rate": f"{recipe.clip:g}, {recipe.sample_rate:g}",
        "What the platform saw": settings.federation.trust_mode or "a masked sum where four institutions or more train",
        "Ledger": bundle.ledger or "–",
        "Metrics in training": settings.privacy.metrics,
    }
    if bundle.epsilon is None:
        spent = {"Privacy": NO_NOISE}
    return Section(
        key="privacy",
        title="Privacy",
        says=tuple(str(sentence) for sentence in source.report.get("privacy", [])),
        grids=(facts("Spend", spent), facts("Audit", _audit(audit, figures))),
        recompute=(COMMAND, "fedcredit node ledger"),
        uncovered=(
            "What this file tells itself: on public and synthetic rows its figures are exact and not charged.",
            "Attacks other than those of the audit; epsilon bounds them all, an audit only shows some.",
            *((CALIBRATED_LATER,) if source.is_calibrated_later else ()),
            *(() if audit else ("The audit: it was not run on this model's training.",)),
        ),
    )


def _audit(audit: Mapping[str, Any] | None, figures: Mapping[str, Figure]) -> dict[str, object]:
    if audit is None:
        return {"Audit": f"not run on this model's training ({COMMAND})"}
    return {
        "Claimed epsilon": as_text(float(audit["epsilon_claimed"])),
        "Certainly spent, by canaries": as_text(float(audit["epsilon_bound"])),
        "Contradicts the claim": "YES" if audit["is_contradicted"] else "no",
        "Membership attack, 2 AUC - 1": told(figures["membership_advantage"]),
        "Institution audited": "the smallest" if not audit.get("institution") else str(audit["institution"]),
    }
