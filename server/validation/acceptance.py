"""Scores of all applicants become the section that corrects figures of accepted companies, under stated assumptions."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from fedcredit.errors import TableError
from fedcredit.evaluation.acceptance import ASSUMPTIONS, Acceptance, Bounded, corrected
from fedcredit.evaluation.figures import figure as as_text
from fedcredit.evaluation.figures import share
from fedcredit.evaluation.grid import GRID
from server.validation.content import Section, grid
from server.validation.lineage import ACCEPTED_ONLY, ALL_OF_THEM, NOT_SAID
from server.validation.source import Scores, Source

MAX_BYTES = 1 << 30
ASK = (
    "fedcredit model score {model} APPLICANTS --out scores.parquet",
    "fedcredit model validate {model} --applicants scores.parquet",
)


def read_applicants(path: Path, scores: Scores, *, factor: float) -> Acceptance:
    """The corrected evaluation, from a file of all applicants' PDs as fedcredit model score writes it.

    Raises:
        TableError: it cannot be read, has no column pd, or lacks companies that were accepted.
    """
    expected = "a .csv or .parquet with a column pd, as fedcredit model score --out writes it"
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise TableError(path.name, found="an oversize file", expected=f"at most {MAX_BYTES:,} bytes")
        held = io.BytesIO(content)
        frame = pd.read_parquet(held) if path.suffix == ".parquet" else pd.read_csv(held)
        p = np.asarray(frame["pd"], dtype=np.float64)
    except (OSError, KeyError, ValueError, TypeError) as fault:
        raise TableError(path.name, found=type(fault).__name__, expected=expected) from fault
    return corrected(GRID.count(scores.p, scores.y), GRID.count(p, np.zeros(len(p))).sum(axis=0), factor=factor)


def acceptance_section(source: Source, found: Acceptance | None) -> Section:
    """Whether labels are of accepted companies only, and what the correction gives where it was asked for."""
    said = source.bundle.schema.label.acceptance
    words = {"accepted": ACCEPTED_ONLY, "all": ALL_OF_THEM}.get(said, NOT_SAID)
    ask = tuple(one.format(model=source.subject) for one in ASK)
    if found is None:
        off = () if said == "all" else ("The correction: it is off unless the scores of all applicants are given.",)
        return Section("acceptance", "Refused applicants", says=(words,), recompute=ask, uncovered=off)
    accepted = [as_text(found.auc_accepted), share(found.rate_accepted), "–"]
    rows = [
        ["AUC", accepted[0], *_row(found.auc, as_text)],
        ["default rate", accepted[1], *_row(found.rate, share)],
        ["observed / expected", accepted[2], *_row(found.observed_expected, as_text)],
    ]
    low, high = found.rate_without
    facts = (
        f"{found.accepted:,} of {found.applicants:,} applicants have an outcome; {share(found.outside)} of all are "
        f"outside the correction. Under no assumption at all the default rate of all is {share(low)} to {share(high)}."
    )
    factor = as_text(found.factor)
    head = ["figure", "accepted, as they are", "all applicants", "lowest", "highest"]
    return Section(
        key="acceptance",
        title="Refused applicants",
        says=(words, facts, "Assumptions: " + " ".join(ASSUMPTIONS)),
        grids=(
            grid(
                f"Corrected for acceptance; the refused's odds of default from 1/{factor} to {factor} times as said",
                head,
                rows,
            ),
        ),
        recompute=ask,
        uncovered=("Whether the assumptions hold: only a few applicants approved at random would show it.",),
    )


def _row(one: Bounded, told: Callable[[float | None], str]) -> list[str]:
    return [told(one.value), told(one.low), told(one.high)]
