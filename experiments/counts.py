"""A study's settings become what its institutions count of their held-out rows, and the counts a file of the unit."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from experiments.units import Unit
from fedcredit.federation.counting import CountTerms, Question
from fedcredit.federation.evaluate import Evaluated
from fedcredit.settings import StudySettings
from server.evaluated import as_facts

EVALUATIONS = "evaluations.json"


def count_terms(unit: Unit, settings: StudySettings, *, delta: float | None) -> CountTerms | None:
    """The terms of the study's evaluations, for a model that all institutions of a federation share; else none."""
    said = settings.evaluation.counts
    if said is None or not _is_shared(unit, settings):
        return None
    terms = CountTerms(said.evaluations, said.epsilon, rows_per_company=said.rows_per_company, dropouts=said.dropouts)
    if delta is None:
        return terms
    return CountTerms(terms.evaluations, terms.epsilon, delta, terms.rows_per_company, terms.dropouts)


def questions_of(unit: Unit, settings: StudySettings) -> tuple[Question, ...]:
    """The one question of the settings, or none."""
    said = settings.evaluation.counts
    if said is None or not _is_shared(unit, settings):
        return ()
    return (Question(said.split, said.column, said.segments, said.bins, said.is_coarse),)


def _is_shared(unit: Unit, settings: StudySettings) -> bool:
    recipe = settings.recipe_for(unit.arm, is_private=unit.epsilon is not None, method=unit.method)
    return unit.arm == "federated" and recipe.share == "all"


def keep(folder: Path, evaluations: Sequence[Evaluated]) -> None:
    """Write the unit's evaluations, if it has any; whole or not at all."""
    if not evaluations:
        return
    draft = folder / f".{EVALUATIONS}.{os.getpid()}"
    draft.write_text(json.dumps([as_facts(one) for one in evaluations], ensure_ascii=False), encoding="utf-8")
    draft.replace(folder / EVALUATIONS)
