"""A model becomes its evidence and its validation file, three files of one name in the model's desk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedcredit.errors import RunError
from fedcredit.evaluation.fairness import Fairness
from server.validation.acceptance import acceptance_section, read_applicants
from server.validation.against import NO_CHAMPION, champion_scores, champion_section, delta_auc
from server.validation.checks import checks
from server.validation.desk import evidence_folder, write
from server.validation.evidence import Evidence, Figure, unknown
from server.validation.fairness import fairness_figure, fairness_section, gaps
from server.validation.figures import calibration, separation
from server.validation.grades import grades, jeffreys_figure
from server.validation.groups import groups
from server.validation.law import law_section
from server.validation.lineage import OWN, data_facts, lineage, partition, purpose
from server.validation.markdown import markdown
from server.validation.page import Document, document, page
from server.validation.performance import calibration as calibration_section
from server.validation.performance import lending, performance
from server.validation.privacy import privacy, privacy_figures
from server.validation.source import Scores, Source, read_source
from server.validation.stability import psi_figure, stability
from server.validation.use import approvals, checked, gains, limits, reasons

# The sections in their order, by the keys that law.yaml names.
SECTIONS = (
    "purpose",
    "lineage",
    "partition",
    "privacy",
    "performance",
    "lending",
    "acceptance",
    "calibration",
    "grades",
    "stability",
    "fairness",
    "reasons",
    "limits",
    "gains",
    "champion",
    "approvals",
    "checks",
)


@dataclass(frozen=True)
class Asked:
    """What a validation was asked for: by_institution None shows members only where rows are public or synthetic."""

    against: str | None = None
    by_institution: bool | None = None
    draws: int = 2000
    applicants: Path | None = None
    refused_odds: float = 2.0


@dataclass(frozen=True)
class Validation:
    """Evidence, and the document that HTML and Markdown are drawn from."""

    evidence: Evidence
    shown: Document


def validate(model: str, *, runs: Path, asked: Asked | None = None) -> Validation:
    """Everything that is known of a model on its judged rows.

    Raises:
        ModelError: there is no such model.
        RunError: its run is gone or was changed, its judged split has no scores, or the champion saw other rows.
    """
    asked = asked or Asked()
    source = read_source(model, runs=runs)
    scores = source.scores(source.headline)
    if scores is None:
        expected = "scores of the judged split"
        raise RunError(str(source.run), found=f"no scores on {source.headline}", expected=expected)
    found = checks(source, runs=runs)
    champion = read_source(asked.against, runs=runs) if asked.against else None
    theirs = None
    if champion is not None:
        theirs = champion_scores(scores, champion.scores(source.headline), whose=str(champion.subject))
    by_institution = asked.by_institution
    if by_institution is None:
        by_institution = source.settings.data.name != OWN
    shown: dict[str, Any] = {"by_institution": by_institution, "institutions_are": _institutions_are(source)}
    unfair = gaps(scores, approval_rate=source.settings.gain.approval_rate, **shown)
    figures = _figures(source, scores, theirs, unfair, draws=asked.draws)
    corrected = None
    if asked.applicants is not None:
        corrected = read_applicants(asked.applicants, scores, factor=asked.refused_odds)
    evidence = Evidence(
        model={
            "name": source.subject.name,
            "version": source.subject.version,
            "bundle_sha256": source.bundle.sha256,
            "study": source.bundle.study,
        },
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        data=data_facts(source),
        against=None
        if champion is None
        else {"bundle_sha256": champion.bundle.sha256, "version": champion.subject.version},
        figures=figures,
    )
    parts = list(groups(scores, **shown))
    others = {"champion": theirs} if theirs is not None else {}
    sections = [
        purpose(source),
        lineage(source),
        partition(source, by_institution=by_institution),
        privacy(source, figures),
        performance(source, figures, parts, others=others),
        lending(source, figures, others=others),
        acceptance_section(source, corrected),
        calibration_section(source, figures, parts),
        grades(source),
        stability(source, figures["psi"]),
        fairness_section(source, unfair, figures["fairness_gap"], hides=not by_institution),
        reasons(source),
        limits(source),
        gains(source, by_institution=by_institution),
        champion_section(source, champion, theirs, figures["delta_auc"]),
        approvals(source, [], []),
        checked(source, found),
    ]
    titles = {section.key: section.title for section in sections}
    if tuple(titles) != SECTIONS:
        raise AssertionError(tuple(titles))
    return Validation(evidence, document(evidence, [*sections, law_section(titles)]))


def save(made: Validation, *, runs: Path, out: Path | None = None) -> dict[str, Path]:
    """evidence.json, the page and the Markdown, in the model's desk or in the folder named; JSON last."""
    model = made.evidence.model
    folder = out if out is not None else evidence_folder(runs, name=model["name"])
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    name = model["bundle_sha256"]
    texts = {"html": page(made.shown), "md": markdown(made.shown), "json": made.evidence.text()}
    return {kind: write(folder / f"{name}.{kind}", text) for kind, text in texts.items()}


def _figures(
    source: Source, scores: Scores, champion: Scores | None, unfair: list[Fairness], *, draws: int
) -> dict[str, Figure]:
    return {
        **separation(scores, approval_rate=source.settings.gain.approval_rate, draws=draws),
        **calibration(scores),
        "delta_auc": unknown(NO_CHAMPION) if champion is None else delta_auc(scores, champion, draws=draws),
        "jeffreys_p": jeffreys_figure(scores),
        "psi": psi_figure(source),
        "fairness_gap": fairness_figure(unfair),
        **privacy_figures(source),
        "data_age_hours": unknown(
            "a run has no clock of its sources: the score book knows it (fedcredit model rescore)"
        ),
    }


def _institutions_are(source: Source) -> str:
    """What the institution column holds: regions, where the study made them of regions."""
    settings = source.settings
    is_region = settings.data.name == "hub" and settings.data.hub.institution == "region"
    return "region" if is_region and settings.partition.by == "none" else "institution"
