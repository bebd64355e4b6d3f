"""A model's name and a table's file become scores; the companies' outcomes need not be known."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fedcredit.credit.scale import grades_of
from fedcredit.models.bundle import Bundle, score
from fedcredit.models.to_score import read_to_score, save_scores

__all__ = ["graded", "read_to_score", "save_scores", "score_file"]


def score_file(bundle: Bundle, path: Path, *, encoding: str | None = None) -> pd.DataFrame:
    """One row an example with its probability of default; see `fedcredit.models.bundle.score`."""
    return graded(score(bundle, read_to_score(path, bundle.schema, encoding=encoding)), scale=bundle.scale)


def graded(scores: pd.DataFrame, *, scale: str | None) -> pd.DataFrame:
    """The scores with the column `grade` after `pd`; empty where the model was not calibrated to a scale."""
    known = scores.drop(columns="grade", errors="ignore")
    grades = pd.Series(grades_of(known["pd"], scale), index=known.index, dtype=object)
    known.insert(list(known.columns).index("pd") + 1, "grade", grades)
    return known
