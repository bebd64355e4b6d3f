"""A model's name and a table's file become scores; the companies' outcomes need not be known."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fedcredit.credit.score_table import graded, read_to_score, save_scores
from fedcredit.models.bundle import Bundle, score

__all__ = ["graded", "read_to_score", "save_scores", "score_file"]


def score_file(bundle: Bundle, path: Path, *, encoding: str | None = None) -> pd.DataFrame:
    """One row an example with its probability of default; see `fedcredit.models.bundle.score`."""
    return graded(score(bundle, read_to_score(path, bundle.schema, encoding=encoding)), scale=bundle.scale)
