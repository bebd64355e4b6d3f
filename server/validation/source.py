"""A model becomes all that its run left behind, checked: settings, report, the unit's facts, and its scores."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcredit.errors import RunError
from fedcredit.evaluation.metrics import Floats
from fedcredit.evaluation.panel import COLUMNS, Panel, read_panel
from fedcredit.models.bundle import Bundle
from fedcredit.models.calibrated import calibrate
from fedcredit.models.files import MANIFEST
from fedcredit.settings import StudySettings
from server.validation.files import HINT, content, document, settings, sha256
from server.validation.runs import Subject, find, run_of, unit_of

KEYS = ("arm", "method", "model", "left_out", "epsilon", "noise")
# What one row of predictions is known by; `p` and `y` are compared with it.
ROW = ["split", "institution", "company", "y", "p"]


@dataclass(frozen=True)
class Scores:
    """The model's scores on one split. raw: what the network says; p: what the bundle gives out, after calibration.

    `company` is there to count a company's rows as one; it never reaches a page.
    """

    split: str
    y: NDArray[np.int8]
    raw: Floats
    p: Floats
    company: NDArray[np.object_]
    institution: NDArray[np.object_]
    about: pd.DataFrame

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Source:
    """Everything a validation file is made of; `variant` are all seeds of the model's kind, `unit` this one's name."""

    subject: Subject
    run: Path
    settings: StudySettings
    report: Mapping[str, Any]
    unit: str
    facts: Mapping[str, Any]
    variant: pd.DataFrame
    seed: int

    @property
    def bundle(self) -> Bundle:
        return self.subject.bundle

    @property
    def headline(self) -> str:
        return self.settings.evaluation.headline

    @property
    def is_calibrated_later(self) -> bool:
        """Whether the bundle is not the run's own: the same weights, calibrated on rows that it does not name."""
        manifest = (self.run / "model" / MANIFEST).read_bytes()
        return hashlib.sha256(manifest).hexdigest() != self.bundle.sha256

    def scores(self, split: str) -> Scores | None:
        """The model's scores on a split, None where it has none."""
        mine = self.variant[self.variant["seed"] == self.seed]
        if not mine["split"].isin(split.split("+")).any():
            return None
        return scores_of(read_panel(mine, split), self.bundle)


def scores_of(panel: Panel, bundle: Bundle) -> Scores:
    """The only model of a panel, after the bundle's calibration."""
    raw = panel.models[0].p[0]
    return Scores(
        panel.split, panel.y, raw, calibrate(raw, bundle.calibration), panel.company, panel.institution, panel.about
    )


def read_source(model: str, *, runs: Path) -> Source:
    """What the model's run left behind.

    Raises:
        ModelError: there is no such model.
        RunError: its run is gone or unfinished, or a file of it is not the one that the others speak of.
    """
    subject = find(model, runs=runs)
    run = run_of(subject, runs=runs)
    report = document(run / "report.json")
    if report.get("schema") != 1:
        raise RunError(str(run / "report.json"), found="another schema", expected="schema 1", hint=HINT)
    for name, mine in (("config_sha256", subject.bundle.config_sha256), ("git_sha", subject.bundle.git_sha)):
        if report.get(name) != mine:
            raise RunError(
                str(run / "report.json"), found=f"another {name}", expected="the one in the model's card", hint=HINT
            )
    unit = unit_of(subject.bundle, run)
    variant, seed = _variant(run, unit, expected=str(report.get("predictions_sha256")))
    facts = document(run / "units" / f"{unit}.json")
    return Source(subject, run, settings(run / "config.yaml"), report, unit, facts, variant, seed)


def _variant(run: Path, unit: str, *, expected: str) -> tuple[pd.DataFrame, int]:
    """All seeds of the unit's kind from the run's predictions, and the unit's own seed."""
    path = run / "predictions.parquet"
    if sha256(path) != expected:
        found = "another file than the report was made from"
        raise RunError(str(path), found=found, expected=f"sha256 {expected[:12]}...", hint=HINT)
    everything, own = _frame(path), _frame(run / "units" / f"{unit}.parquet")
    first, seed = own.iloc[0], int(own["seed"].iloc[0])
    same = np.ones(len(everything), dtype=bool)
    for key in KEYS:
        column = everything[key]
        same &= np.asarray(column.isna() if pd.isna(first[key]) else column == first[key], dtype=bool)
    variant = everything[same].reset_index(drop=True)
    mine = variant[variant["seed"] == seed]
    if not _is_same(mine, own):
        found = "scores that differ from the unit's own"
        raise RunError(str(path), found=found, expected=f"those of units/{unit}.parquet", hint=HINT)
    return variant, seed


def _is_same(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    one, two = (frame[ROW].sort_values(ROW, ignore_index=True) for frame in (first, second))
    return one.astype(object).equals(two.astype(object))


def _frame(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(io.BytesIO(content(path)))
    except (ValueError, OSError, KeyError) as fault:  # pyarrow's errors are both
        raise RunError(str(path), found="another form", expected="a table in Parquet", hint=HINT) from fault
    if frame.empty or set(COLUMNS) - set(frame.columns):
        raise RunError(str(path), found="no rows, or other columns", expected=", ".join(COLUMNS), hint=HINT)
    return frame
