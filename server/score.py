"""A model's name and a table's file become scores; the companies' outcomes need not be known."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fedcredit.models.bundle import Bundle, score
from fedcredit.models.to_score import read_to_score, save_scores

__all__ = ["read_to_score", "save_scores", "score_file"]


def score_file(bundle: Bundle, path: Path, *, encoding: str | None = None) -> pd.DataFrame:
    """One row an example with its probability of default; see `fedcredit.models.bundle.score`."""
    return score(bundle, read_to_score(path, bundle.schema, encoding=encoding))
