"""Evaluations that institutions answered with counts become a section: figures of rows that never left them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedcredit.errors import ConfigError, FederationError, RunError
from fedcredit.evaluation.agreement import agreement
from fedcredit.evaluation.figures import figure as as_text
from fedcredit.evaluation.grid import LOGIT_LIMIT, ScoreGrid
from fedcredit.evaluation.metrics import MIN_PER_CLASS
from fedcredit.evaluation.noised import noised_auc
from fedcredit.evaluation.separation import separation
from server.validation.content import Section, grid, told
from server.validation.evidence import Figure, figure, unknown
from server.validation.files import document

if TYPE_CHECKING:
    from fedcredit.federation.evaluate import Evaluated

HINT = "name the result.json of the deployed run's unit"
MOST = 100
ASK = "fedcredit model validate {model} --counts result.json"


def read_counted(path: Path) -> tuple[Evaluated, ...]:
    """The evaluations in the result of a deployed run.

    Raises:
        RunError: it holds none, or something else.
    """
    from server.evaluated import from_facts

    facts = document(path).get("evaluations")
    if not isinstance(facts, list) or not 0 < len(facts) <= MOST:
        raise RunError(path.name, found="no evaluations", expected="those of a deployed run", hint=HINT)
    try:
        return tuple(from_facts(one) for one in facts)
    except (FederationError, ConfigError, AttributeError) as fault:
        raise RunError(path.name, found="an evaluation of another form", expected="counts", hint=HINT) from fault


def counted_section(model: str, found: Sequence[Evaluated]) -> Section:
    """What the institutions' held-out rows say of the model."""
    if not found:
        says = ("No counts of institutions were given: all figures of this file are of the rows in the run folder.",)
        uncovered = (f"Rows that never left the institutions: {ASK.format(model=model)}",)
        return Section(KEY, TITLE, says=says, uncovered=uncovered)
    head = ["split", "segment", "rows", "AUC [95 %]", "observed / expected [95 %]", "slope [95 %]"]
    rows = [row for one in found for row in _rows(one)]
    return Section(
        key=KEY,
        title=TITLE,
        says=tuple(dict.fromkeys(_said(one) for one in found)),
        grids=(grid("From counts on the public score grid", head, rows),),
        recompute=(ASK.format(model=model),),
        uncovered=(
            "That the counts are of this model: the result does not name it, whoever hands it in vouches for that.",
            "Segments of fewer than 10 rows of a class, and institutions that did not answer.",
        ),
    )


KEY, TITLE = "counted", "Counted at the institutions"


def _said(one: Evaluated) -> str:
    words = f"{len(one.institutions)} institutions counted their held-out rows ({one.question.split})."
    if one.epsilon_metrics is None:
        return (
            f"{words} The counts are exact and have no epsilon. Unless the rows are open, cells of fewer than 10 rows "
            "are left out, of the totals and the figures too."
        )
    return (
        f"{words} The counts are noised by {as_text(one.deviation)} rows a cell. All evaluations of the study together "
        f"spend at most epsilon {as_text(one.epsilon_metrics)} of a company at each institution, apart from training."
    )


def _rows(one: Evaluated) -> Iterator[list[str]]:
    """All rows together, then each segment."""
    from fedcredit.federation.evaluate import segment_names

    parts = [("all", one.counts.sum(axis=0))]
    if one.question.segments:
        names = segment_names(one.question)
        parts += [(f"{one.question.column}: {name}", one.counts[k]) for k, name in enumerate(names)]
    for name, counts in parts:
        is_small = name.partition(": ")[2] in one.small
        total = "fewer than 10 of a class" if is_small else f"{max(0, int(counts.sum())):,}"
        yield [one.question.split, name, total, *(told(figure_) for figure_ in _figures(one, counts))]


def _figures(one: Evaluated, counts: np.ndarray) -> tuple[Figure, Figure, Figure]:
    """AUC, observed over expected, slope; under noise the AUC alone, with the noise in its interval."""
    nothing = unknown("")
    if one.epsilon_metrics is not None:
        noised = noised_auc(counts, deviation=one.deviation)
        return (nothing if noised is None else figure(noised.auc, noised.low, noised.high, about=""), nothing, nothing)
    if counts.sum(axis=1).min() < MIN_PER_CLASS or one.question.is_coarse:
        return nothing, nothing, nothing
    on = ScoreGrid(bins=one.question.bins, limit=LOGIT_LIMIT)
    apart, agreed = separation(counts, grid=on), agreement(counts, grid=on)
    if apart is None or agreed is None:
        return nothing, nothing, nothing
    slope = nothing if agreed.slope is None else figure(*agreed.slope, about="")
    return (
        figure(apart.auc, apart.low, apart.high, about=""),
        figure(*agreed.observed_expected, about=""),
        slope,
    )
