"""A bundle and outcomes beside scores become the same weights with PDs on the master scale."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcredit.credit.calibration import Method, fit, to_long_run
from fedcredit.credit.long_run import Estimate, anchor, estimate_rate
from fedcredit.credit.scale import MASTER
from fedcredit.data.cells import numbers, read_cells, require
from fedcredit.errors import ModelError, TableError
from fedcredit.evaluation.grid import BINS, LOGIT_LIMIT, ScoreGrid
from fedcredit.models.bundle import Bundle
from fedcredit.models.calibrated import Step

MAX_COUNTS_BYTES = 4 << 20
# A run's predictions.parquet holds many models; PDs are fitted to one.
ONE_MODEL = ("arm", "method", "model", "model_institution", "left_out", "epsilon", "noise", "seed")
HELD_OUT = "validation"


@dataclass(frozen=True)
class Outcomes:
    """Counts (2, bins) of good and bad companies by score. `is_raw`: the score is the model's own output, before the
    bundle's steps; else it is the PD that the bundle gives now.
    """

    counts: NDArray[np.int64]
    grid: ScoreGrid
    is_raw: bool


@dataclass(frozen=True)
class Calibrated:
    """The new bundle, what was fitted, and the label-free estimate where one was asked for."""

    bundle: Bundle
    fitted: tuple[Step, ...]
    estimate: Estimate | None
    companies: int
    defaults: int


def calibrated(
    bundle: Bundle,
    outcomes: Outcomes,
    *,
    method: Method,
    long_run_rate: float | None = None,
    portfolio: NDArray[np.int64] | None = None,
) -> Calibrated:
    """The bundle with a fitted step, moved to the long-run rate where one is known.

    rate alone: a prior shift. rate and portfolio (counts of scores without outcomes): the portfolio's mean PD is
    anchored at the rate. portfolio alone: a shift to the rate that its scores suggest (Saerens 2002).
    """
    steps: tuple[Step, ...] = (fit(outcomes.counts, method=method, grid=outcomes.grid),)
    bad, companies = int(outcomes.counts[1].sum()), int(outcomes.counts.sum())
    found: Estimate | None = None
    if long_run_rate is not None and portfolio is not None:
        steps = (*steps, anchor(portfolio, steps=steps, rate=long_run_rate, grid=outcomes.grid))
    elif long_run_rate is not None:
        steps = (*steps, to_long_run(outcomes.counts, long_run_rate=long_run_rate, grid=outcomes.grid))
    elif portfolio is not None:
        found = estimate_rate(portfolio, steps=steps, from_rate=bad / companies, grid=outcomes.grid)
        if found.rate < 1e-6:
            hint = "the assumption of the label-free estimate does not hold here: give --long-run-rate"
            raise ModelError("default rate", found="an estimate of 0", expected="a rate above 0", hint=hint)
        steps = (*steps, to_long_run(outcomes.counts, long_run_rate=found.rate, grid=outcomes.grid))
    before = () if outcomes.is_raw else bundle.calibration
    made = replace(bundle, calibration=(*before, *steps), scale=MASTER.name, sha256="")
    return Calibrated(made, steps, found, companies, bad)


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
    return outcomes.grid.count(score, np.zeros(len(score))).sum(axis=0)


def _text(cell: object) -> str:
    """A cell as one would write it: 3.0 as 3, an empty one as nothing."""
    if cell is None or cell != cell:
        return ""
    return f"{cell:g}" if isinstance(cell, float) else str(cell)


def _score(cells: pd.DataFrame, path: Path) -> pd.Series:
    name = "p" if "p" in cells.columns else "pd"
    require(cells, [name], where=path.name)
    return numbers(cells[name], where=f"{path.name}, column {name!r}")


def read_counts(path: Path) -> Outcomes:
    """Counts that institutions added up: {"good": [...], "bad": [...], "bins", "limit", "of": "p" or "pd"} in JSON.

    Raises:
        TableError: unreadable, oversize, or other than that.
    """
    expected = (
        '{"good": [...], "bad": [...]} with one count a bin, and "bins", "limit", "of" where they are not 512, 8, pd'
    )
    try:
        with path.open("rb") as file:
            content = file.read(MAX_COUNTS_BYTES + 1)
    except OSError as fault:
        raise TableError(str(path), found=os.strerror(fault.errno or 0), expected="a readable file") from fault
    if len(content) > MAX_COUNTS_BYTES:
        raise TableError(path.name, found="an oversize file", expected=f"at most {MAX_COUNTS_BYTES:,} bytes")
    try:
        told: Any = json.loads(content)
        grid = ScoreGrid(bins=told.get("bins", BINS), limit=_limit(told.get("limit", LOGIT_LIMIT)))
        counts = np.array([_row(told["good"], grid.bins), _row(told["bad"], grid.bins)], dtype=np.int64)
        if told.get("of", "pd") not in ("p", "pd"):
            raise ValueError  # noqa: TRY301 - one fault for every other form
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as fault:
        raise TableError(path.name, found="another form", expected=expected) from fault
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
