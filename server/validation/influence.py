"""A model and a table of companies become how much each column and each factor weighs over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedcredit.credit.fields import typical_for
from fedcredit.data.features import make_windows
from fedcredit.data.schema import Table
from fedcredit.errors import TableError
from fedcredit.evaluation.figures import figure as as_text
from fedcredit.evaluation.figures import share
from fedcredit.explain import can_compare, medians
from fedcredit.models.attribution import attribute, columns_of, typical_inputs
from fedcredit.models.bundle import Bundle
from server.validation.content import Grid, grid
from server.validation.drawings import bars

MOST = 2000  # companies; the mean of so many does not move with more
FEWEST = 20  # of fewer, a median tells of single companies
SHOWN = 15


@dataclass(frozen=True)
class Influence:
    """Mean absolute log-odds against a typical company: by column and, of a structured model, by factor.

    typical: what companies are compared with, in words. gap: the largest distance of a sum from what it must be.
    """

    companies: int
    typical: str
    columns: tuple[tuple[str, float], ...]
    factors: tuple[tuple[str, float], ...]
    gap: float


def influence(bundle: Bundle, table: Table, *, where: str) -> Influence:
    """What the model looks at in this table, from at most 2,000 of its companies, the heaviest first.

    Raises:
        TableError: it has fewer than 20 companies.
        ModelError: it is not of the model's schema.
    """
    windows = make_windows(replace(table, schema=replace(table.schema, split=None)), length=bundle.time)
    if len(windows) < FEWEST:
        raise TableError(where, found=f"{len(windows)} companies", expected=f"{FEWEST} or more")
    columns = columns_of(table.schema, windows.features)
    by_dictionary = can_compare(table.schema)
    typical = typical_for(table.schema) if by_dictionary else medians(table)
    chosen = np.linspace(0, len(windows) - 1, min(MOST, len(windows))).astype(np.intp)
    inputs = typical_inputs(table.schema, typical, windows.features)
    found = attribute(bundle.model(), windows.x[chosen], columns=columns, typical=inputs)
    return Influence(
        companies=len(chosen),
        typical="typical values of the dictionary" if by_dictionary else "medians of the table's own rows",
        columns=_ranked(found.columns, np.abs(found.shares).mean(axis=0)),
        factors=_ranked(found.factors, np.abs(found.by_factor).mean(axis=0)),
        gap=found.gap,
    )


def influence_grids(found: Influence) -> tuple[tuple[Grid, ...], dict[str, str]]:
    """The tables and drawings of the section on reasons."""
    grids, drawings = [], {}
    for what, ranked in (("column", found.columns), ("factor", found.factors)):
        if not ranked:
            continue
        total = sum(value for _, value in ranked) or 1.0
        rows = [[name, as_text(value), share(value / total)] for name, value in ranked[:SHOWN]]
        caption = f"Influence by {what}, mean over {found.companies:,} companies"
        grids.append(grid(caption, [what, "mean log-odds, either way", "of all"], rows))
        drawings[f"Influence by {what}"] = bars(
            [name for name, _ in ranked[:SHOWN]],
            [value for _, value in ranked[:SHOWN]],
            label=f"mean log-odds that a {what} moves, either way",
        )
    return tuple(grids), drawings


def _ranked(names: Sequence[str], values: np.ndarray) -> tuple[tuple[str, float], ...]:
    pairs = zip(names, (float(value) for value in values), strict=True)
    return tuple(sorted(pairs, key=lambda pair: -pair[1]))
