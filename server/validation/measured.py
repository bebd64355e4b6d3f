"""A model's run and desk become everything that a validation measures, before a word of it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fedcredit.credit.score_table import read_to_score
from fedcredit.errors import RunError
from fedcredit.evaluation.acceptance import Acceptance
from fedcredit.evaluation.fairness import Fairness
from server.validation.acceptance import read_applicants
from server.validation.against import NO_CHAMPION, champion_scores, delta_auc
from server.validation.checks import Check, checks
from server.validation.counted import read_counted
from server.validation.evidence import Figure, unknown
from server.validation.fairness import fairness_figure, gaps
from server.validation.figures import calibration, separation
from server.validation.grades import jeffreys_figure
from server.validation.groups import Group, groups
from server.validation.indicators import Indicators, indicators
from server.validation.influence import Influence, influence
from server.validation.lineage import OWN
from server.validation.moved import Moved, from_book, from_rows
from server.validation.overrides_file import Overridden, read_overrides
from server.validation.privacy import privacy_figures
from server.validation.source import Scores, Source, read_source
from server.validation.stability import psi_figure
from server.validation.standing import Standing, standing

if TYPE_CHECKING:
    from fedcredit.federation.evaluate import Evaluated


@dataclass(frozen=True)
class Asked:
    """What a validation was asked for.

    against: the champion; None takes the one in force on the model's desk, unless `alone`. by_institution: None shows
    members only where rows are public or synthetic. applicants: a file of all applicants' PDs; refused_odds: how far
    the refused's odds of default may be from what their score says. table: companies over which influence is measured
    and indicators set beside those of training; counts: what institutions counted of rows that stayed with them;
    overrides: a file of grades that persons changed or left.
    """

    against: str | None = None
    alone: bool = False
    by_institution: bool | None = None
    draws: int = 2000
    applicants: Path | None = None
    refused_odds: float = 2.0
    table: Path | None = None
    counts: Path | None = None
    overrides: Path | None = None


@dataclass(frozen=True)
class Measured:
    """The model's scores on the judged split beside the champion's, and all figures."""

    source: Source
    scores: Scores
    checks: list[Check]
    desk: Standing
    champion: Source | None
    theirs: Scores | None
    by_institution: bool
    groups: list[Group]
    unfair: list[Fairness]
    corrected: Acceptance | None
    influence: Influence | None
    indicators: Indicators | None
    moved: Mapping[str, Moved | None]
    overridden: Overridden | None
    counted: tuple[Evaluated, ...]
    figures: Mapping[str, Figure]


def measure(model: str, *, runs: Path, asked: Asked, now: datetime) -> Measured:
    """Read the run behind the model, check it, and compute every figure.

    Raises:
        ModelError: there is no such model.
        RunError: its run is gone or was changed, its judged split has no scores, or the champion saw other rows.
        PolicyRefused: the model's desk was edited by hand.
        TableError: a file that was asked for is no such table.
    """
    overridden = read_overrides(asked.overrides) if asked.overrides is not None else None
    source = read_source(model, runs=runs)
    table = read_to_score(asked.table, source.bundle.schema) if asked.table is not None else None
    scores = source.scores(source.headline)
    if scores is None:
        found = f"no scores on split {source.headline}"
        raise RunError(str(source.run), found=found, expected="scores of the judged split")
    desk = standing(runs, name=source.subject.name, sha256=source.bundle.sha256, now=now)
    over = asked.against or (str(desk.champion) if desk.champion and not asked.alone else None)
    champion = read_source(over, runs=runs) if over else None
    theirs = None
    if champion is not None:
        theirs = champion_scores(scores, champion.scores(source.headline), whose=str(champion.subject))
    by_institution = source.settings.data.name != OWN if asked.by_institution is None else asked.by_institution
    kind, rate = _institutions_are(source), source.settings.gain.approval_rate
    unfair = gaps(scores, approval_rate=rate, by_institution=by_institution, institutions_are=kind)
    corrected = None
    if asked.applicants is not None:
        corrected = read_applicants(asked.applicants, scores, factor=asked.refused_odds)
    return Measured(
        source=source,
        scores=scores,
        checks=checks(source, runs=runs),
        desk=desk,
        champion=champion,
        theirs=theirs,
        by_institution=by_institution,
        groups=list(groups(scores, by_institution=by_institution, institutions_are=kind)),
        unfair=unfair,
        corrected=corrected,
        influence=influence(source.bundle, table, where=asked.table.name) if table and asked.table else None,
        indicators=indicators(table, source.bundle.schema, scores) if table else None,
        moved={
            "Scored rows": from_rows(source),
            "Score book": from_book(desk.book, model_version=source.bundle.version),
        },
        overridden=overridden,
        counted=read_counted(asked.counts) if asked.counts is not None else (),
        figures={
            **separation(scores, approval_rate=rate, draws=asked.draws),
            **calibration(scores),
            "delta_auc": unknown(NO_CHAMPION) if theirs is None else delta_auc(scores, theirs, draws=asked.draws),
            "jeffreys_p": jeffreys_figure(scores),
            "psi": psi_figure(source),
            "fairness_gap": fairness_figure(unfair),
            **privacy_figures(source),
            "data_age_hours": desk.data_age_hours,
        },
    )


def _institutions_are(source: Source) -> str:
    """What the institution column holds: regions, where the study made them of regions."""
    settings = source.settings
    is_region = settings.data.name == "hub" and settings.data.hub.institution == "region"
    return "region" if is_region and settings.partition.by == "none" else "institution"
