"""A file with scores and outcomes, or with counts of them, becomes the counts that a model is calibrated on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcredit.data.cells import numbers, read_cells, require
from fedcredit.errors import ConfigError, TableError
from fedcredit.evaluation.grid import BINS, GRID, LOGIT_LIMIT, ScoreGrid
from fedcredit.evaluation.wide_bins import Bins
from server.counted_outcomes import chosen, is_evaluations, total

MAX_COUNTS_BYTES = 64 << 20  # a result.json may hold many evaluations by segment
# A run's predictions.parquet holds many models; PDs are fitted to one.
ONE_MODEL = ("arm", "method", "model", "model_institution", "left_out", "epsilon", "noise", "seed")
HELD_OUT = "validation"


@dataclass(frozen=True)
class Outcomes:
    """Counts (2, bins) of good and bad companies by score. `is_raw`: the score is the model's own output, before the
    bundle's steps; else it is the PD that the bundle gives now. epsilon: what the noise in them has spent of each
    company, apart from training; None for exact counts. small: segments left out, with too few rows.
    """

    counts: NDArray[np.int64] | NDArray[np.float64]
    grid: Bins
    is_raw: bool
    epsilon: float | None = None
    small: tuple[str, ...] = ()


def read_predictions(path: Path, *, where: Mapping[str, str] | None = None) -> Outcomes:
    """Counts of a file with `y` and a score: `p` the model's own output, or `pd` what `model score` gave.

    Of a run's predictions.parquet the validation rows are taken, and they must be of one model: `where` names the
    values that its rows have in some columns, as text, an empty cell as "".

    Raises:
        TableError: a column is missing, several models are in it, or cells are no outcomes or probabilities.
    """
    cells = read_cells(path)
    require(cells, ["y", *(where or {})], where=path.name)
    for name, value in (where or {}).items():
        cells = cells[cells[name].map(_text) == value]
        if cells.empty:
            raise TableError(f"{path.name}, column {name!r}", found=f"no row with {value!r}", expected="some")
    if "split" in cells.columns:
        cells = cells[cells["split"] == HELD_OUT]
        if cells.empty:
            found, hint = "no validation rows", "run the study with evaluation.splits=[validation,test]"
            raise TableError(f"{path.name}, column 'split'", found=found, expected=HELD_OUT, hint=hint)
    for name in (column for column in ONE_MODEL if column in cells.columns):
        if cells[name].nunique(dropna=False) > 1:
            some = " or ".join(f"--where {name}={_text(value)}" for value in cells[name].unique()[:2])
            hint = f"keep the rows of the model that is calibrated: {some}"
            raise TableError(f"{path.name}, column {name!r}", found="several models", expected="one", hint=hint)
    is_raw = "p" in cells.columns
    score = _score(cells, path)
    y = numbers(cells["y"], where=f"{path.name}, column 'y'")
    grid = ScoreGrid()
    return Outcomes(grid.count(score, y), grid, is_raw)


def read_portfolio(path: Path, *, outcomes: Outcomes) -> NDArray[np.int64]:
    """Counts of the companies to be scored, by the same kind of score; outcomes in the file are not read."""
    cells = read_cells(path)
    require(cells, ["p" if outcomes.is_raw else "pd"], where=path.name)
    score = _score(cells, path)
    return GRID.count(score, np.zeros(len(score))).sum(axis=0)


def _text(cell: object) -> str:
    """A cell as one would write it: 3.0 as 3, an empty one as nothing."""
    if cell is None or cell != cell:
        return ""
    return f"{cell:g}" if isinstance(cell, float) else str(cell)


def _score(cells: pd.DataFrame, path: Path) -> pd.Series:
    name = "p" if "p" in cells.columns else "pd"
    require(cells, [name], where=path.name)
    return numbers(cells[name], where=f"{path.name}, column {name!r}")


def read_counts(path: Path, *, evaluation: int | None = None) -> Outcomes:
    """Counts that institutions added up: a deployed unit's result.json or an experiment's evaluations.json, of which
    the evaluation of that number is taken, or the last; or {"good": [...], "bad": [...], "bins", "limit", "of"}.

    Raises:
        TableError: unreadable, oversize, or other than that.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_COUNTS_BYTES + 1)
    except OSError as fault:
        raise TableError(str(path), found=os.strerror(fault.errno or 0), expected="a readable file") from fault
    if len(content) > MAX_COUNTS_BYTES:
        raise TableError(path.name, found="an oversize file", expected=f"at most {MAX_COUNTS_BYTES:,} bytes")
    try:
        told: Any = json.loads(content)
    except (ValueError, RecursionError) as fault:
        raise TableError(path.name, found="another form", expected="JSON") from fault
    if is_evaluations(told):
        one = chosen(told, number=evaluation, where=path.name)
        summed, bins = total(one)
        return Outcomes(summed, bins, is_raw=True, epsilon=one.epsilon_metrics, small=one.small)
    if evaluation is not None:
        raise TableError(path.name, found="counts of no evaluation", expected="a file with evaluations")
    return _hand_made(told, where=path.name)


def _hand_made(told: Any, *, where: str) -> Outcomes:
    try:
        grid = ScoreGrid(bins=told.get("bins", BINS), limit=_limit(told.get("limit", LOGIT_LIMIT)))
        counts = np.array([_row(told["good"], grid.bins), _row(told["bad"], grid.bins)], dtype=np.int64)
        if told.get("of", "pd") not in ("p", "pd"):
            raise ValueError  # noqa: TRY301 - one fault for every other form
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, ConfigError) as fault:
        expected = '{"good", "bad"} with a count a bin, and "bins", "limit", "of" where they are not 512, 8, pd'
        raise TableError(where, found="another form", expected=expected) from fault
    return Outcomes(counts, grid, told.get("of", "pd") == "p")


def _limit(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    return float(value)


def _row(values: object, bins: int) -> Sequence[int]:
    if not isinstance(values, list) or len(values) != bins:
        raise TypeError(bins)
    if not all(type(value) is int and 0 <= value < 1 << 53 for value in values):
        raise ValueError(bins)
    return values
