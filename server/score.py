"""A model's name and a table's file become scores; the companies' outcomes need not be known."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from fedcredit.credit.score_table import graded, read_to_score
from fedcredit.models.bundle import Bundle, score

# Of torch. One scores 90,000 companies a second; two wait for each other wherever the machine has anything else to do,
# and were twenty times slower on a loaded machine of two cores.
THREADS = 1


def score_file(bundle: Bundle, path: Path, *, encoding: str | None = None) -> pd.DataFrame:
    """One row an example with its probability of default; see `fedcredit.models.bundle.score`."""
    torch.set_num_threads(THREADS)
    return graded(score(bundle, read_to_score(path, bundle.schema, encoding=encoding)), scale=bundle.scale)
