"""A table with the indicators of the run's companies becomes how far each indicator has moved since training (CSI)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcredit.data.schema import Column, Schema, Table
from fedcredit.data.splits import split_by_company
from fedcredit.evaluation.figures import figure as as_text
from fedcredit.evaluation.figures import share
from fedcredit.evaluation.stability import MOVED, STEADY, Stability, csi, indicator_counts
from server.validation.cells import SMALLEST
from server.validation.content import Section, grid
from server.validation.drawings import bars
from server.validation.source import Scores, Source

KEY, TITLE = "indicators", "Indicators"
TRAINED, BINS, SHOWN, LISTED = "train", 10, 15, 60
ENOUGH = 0.9  # of the judged companies; a table that holds fewer of them is not the study's
NO_TABLE = (
    "A run keeps scores and no indicators, so whether an indicator has moved (CSI) is told where the study's table is "
    "given (--table)."
)


@dataclass(frozen=True)
class Indicators:
    """by_name: the PSI of each indicator, the one that moved most first; empty where the table does not fit the run.

    why: what does not fit, in a clause. before, now: companies on each side. known: share of the judged that are there.
    """

    by_name: Mapping[str, Stability]
    before: int
    now: int
    known: float
    why: str = ""


def indicators(table: Table, schema: Schema, scores: Scores) -> Indicators:
    """Each indicator's PSI from the training rows of the table to its judged ones, the last row of each company.

    Splits are the table's own or, without a column, by company as the study made them. Bins hold equal shares of the
    training side; an empty cell is a bin of its own.
    """
    frame = table.frame[table.frame[schema.label.column].notna()]  # not the rows that stand for a missing period
    if schema.split is not None and schema.split not in frame.columns:
        return Indicators({}, 0, 0, 0.0, f"it lacks the column {schema.split}, which says what rows trained")
    who = frame[schema.company].astype(str)
    hashed = schema.split is None
    split = split_by_company(who.to_numpy(dtype=np.str_)) if hashed else frame[schema.split].astype(str).to_numpy()
    judged = {str(one) for one in scores.company.tolist()}
    is_judged = np.isin(split, scores.split.split("+")) & who.isin(judged).to_numpy()
    last = [frame[inside].drop_duplicates(schema.company, keep="last") for inside in (split == TRAINED, is_judged)]
    before, now = last
    known = len(now) / len(judged)
    if known < ENOUGH:
        why = f"it holds {share(known)} of the judged companies of the run, so it is not the table of the study"
    elif min(len(before), len(now)) < SMALLEST:
        why = f"it holds fewer than {SMALLEST} training companies, or judged ones"
    else:
        return Indicators(csi(*_counts(schema.columns, before, now)), len(before), len(now), known)
    return Indicators({}, len(before), len(now), known, why)


def _counts(
    columns: tuple[Column, ...], before: pd.DataFrame, now: pd.DataFrame
) -> tuple[dict[str, NDArray[np.int64]], dict[str, NDArray[np.int64]]]:
    """Companies by bin of each column, on both sides."""
    first, second = {}, {}
    for column in columns:
        old, new = before[column.name], now[column.name]
        if column.kind == "category":
            names = pd.Index(sorted({*old.astype(str), *new.astype(str)}))
            first[column.name], second[column.name] = (_by_level(side, names) for side in (old, new))
            continue
        edges = _edges(old.to_numpy(dtype=np.float64, na_value=np.nan))
        first[column.name], second[column.name] = (
            indicator_counts(side.to_numpy(dtype=np.float64, na_value=np.nan), edges) for side in (old, new)
        )
    return first, second


def _by_level(cells: pd.Series, levels: pd.Index) -> NDArray[np.int64]:
    return np.bincount(levels.get_indexer(pd.Index(cells.astype(str))), minlength=len(levels)).astype(np.int64)


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Between about ten bins of the same number of companies, each of at least ten.

    >>> _edges(np.array([0.0] * 90 + [1.0] * 10)), _edges(np.array([np.nan]))
    (array([0., 1.]), array([0.]))
    """
    known = values[~np.isnan(values)]
    bins = min(BINS, max(2, len(known) // SMALLEST))
    return np.unique(np.quantile(known, np.arange(1, bins) / bins, method="higher")) if known.size else np.zeros(1)


def indicators_section(source: Source, found: Indicators | None) -> Section:
    """The section: one line an indicator, the one that moved most first."""
    again = (f"fedcredit model validate {source.subject} --runs RUNS --table TABLE",)
    if found is None or found.why:
        says = (
            NO_TABLE if found is None else f"Whether an indicator has moved (CSI) the table does not tell: {found.why}."
        )
        return Section(KEY, TITLE, says=(says,), recompute=again, uncovered=("Each indicator's own distribution.",))
    shown = dict(list(found.by_name.items())[:LISTED])
    rows = [[name, as_text(one.psi), _read(one), as_text(one.by_chance), one.bins] for name, one in shown.items()]
    head = ["indicator", "CSI", "reading", "by chance, 19 of 20 times below", "bins"]
    most = list(shown.items())[:SHOWN]
    label = f"CSI (steady below {as_text(STEADY)}, moved above {as_text(MOVED)})"
    return Section(
        key=KEY,
        title=TITLE,
        says=(_verdict(found.by_name), _compared(found)),
        grids=(grid("Characteristic stability index of each indicator", head, rows),),
        drawings={"Indicators that moved most": bars([n for n, _ in most], [one.psi for _, one in most], label=label)},
        recompute=again,
        uncovered=(
            "Indicators together: two may each stand still while what they say of each other changes.",
            "Whether it matters: an indicator that the model hardly looks at may move (section on reasons).",
            *((f"{len(found.by_name) - LISTED} more, all with a lower CSI.",) if len(found.by_name) > LISTED else ()),
        ),
    )


def _read(one: Stability) -> str:
    return "no more than chance" if one.psi <= one.by_chance and one.verdict != "steady" else one.verdict


def _verdict(by_name: Mapping[str, Stability]) -> str:
    changed = [name for name, one in by_name.items() if _read(one) in ("some change", "moved")]
    if not changed:
        return f"None of {len(by_name)} indicators has changed by {as_text(STEADY)} and by more than chance makes it."
    first = ", ".join(f"{name} ({as_text(by_name[name].psi)})" for name in changed[:3])
    return f"{len(changed)} of {len(by_name)} indicators have changed, most of all {first}."


def _compared(found: Indicators) -> str:
    return (
        f"{found.before:,} training companies of the table are set beside {found.now:,} judged ones, each with its "
        f"last row there; {share(found.known)} of the judged companies of the run are in the table."
    )
