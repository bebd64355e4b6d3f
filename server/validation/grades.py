"""The judged scores become grades, and the grades the tests of their PDs."""

from __future__ import annotations

import numpy as np

from fedcredit.credit.scale import MASTER
from fedcredit.evaluation.backtest import Backtest, backtest
from fedcredit.evaluation.concentration import concentration
from fedcredit.evaluation.figures import figure as as_text
from fedcredit.evaluation.figures import share
from fedcredit.evaluation.goodness import hosmer_lemeshow, spiegelhalter
from fedcredit.evaluation.grades import GradeCounts
from fedcredit.evaluation.grid import GRID
from fedcredit.evaluation.ordering import ordering
from server.validation.cells import SMALLEST, runs_of
from server.validation.content import Grid, Section, grid
from server.validation.drawings import pairs
from server.validation.evidence import Figure, figure, unknown
from server.validation.source import Scores, Source

P_FORM = "{:.3g}"


def graded(scores: Scores) -> GradeCounts | None:
    """Companies and defaults by grade; None where all are too few.

    Neighbouring grades of fewer than 10 are put together. A PD is the mean of its rows, on the score grid.
    """
    names = [grade.name for grade in MASTER.grades]
    found = GradeCounts.from_grid(GRID.count(scores.p, scores.y), MASTER.bounds, names=names)
    parts = runs_of(found.companies)
    if not parts:
        return None
    n, d, expected = found.n, found.d, found.expected
    sums = [(int(n[a : b + 1].sum()), int(d[a : b + 1].sum()), float(expected[a : b + 1].sum())) for a, b in parts]
    return GradeCounts(
        tuple(_name(found, a, b) for a, b in parts),
        tuple(one[0] for one in sums),
        tuple(one[1] for one in sums),
        tuple(one[2] / one[0] for one in sums),
    )


def jeffreys_figure(scores: Scores) -> Figure:
    """The smallest Holm-adjusted two-sided Jeffreys p over the grades: below .05 some grade's PD is wrong."""
    counts = graded(scores)
    if counts is None:
        return unknown("fewer than 10 companies are graded")
    about = f"smallest Holm-adjusted two-sided Jeffreys p over {len(counts.names)} grades of {MASTER.name}"
    return figure(backtest(counts).smallest_p, about=about)


def grades(source: Source) -> Section:
    """The section: each grade's PD against its defaults, the tests of all together, and how grades are spread."""
    scores = source.scores(source.headline)
    counts = graded(scores) if scores is not None else None
    if scores is None or counts is None:
        return Section("grades", "Grades", uncovered=("Anything: too few companies are graded.",))
    found = backtest(counts)
    rates = [one.rate or 0.0 for one in found.grades]
    drawn = pairs(counts.names, counts.pd, rates, words=("expected", "observed", "default rate, %"))
    return Section(
        key="grades",
        title="Grades",
        says=(_verdict(found),),
        grids=(_by_grade(found), _together(scores, counts), _spread(scores)),
        drawings={"Default rate by grade": drawn},
        uncovered=(
            f"Grades of fewer than {SMALLEST} companies stand with their neighbours, so a wrong PD of one of them "
            "alone is not seen.",
            "Defaults are taken as independent; a bad year makes all tests too strict.",
        ),
    )


def _verdict(found: Backtest) -> str:
    if found.smallest_p is None:
        return "No grade has enough companies to be tested."
    p = P_FORM.format(found.smallest_p)
    if found.passed:
        return f"No grade's PD is refuted: the smallest adjusted p is {p}, at or above {found.significance:g}."
    wrong = [one.name for one in found.grades if (one.jeffreys_holm or 1) < found.significance]
    return f"The PDs of {', '.join(wrong)} are refuted: the smallest adjusted p is {p}, below {found.significance:g}."


def _by_grade(found: Backtest) -> Grid:
    rows = [
        [
            one.name,
            one.companies,
            one.defaults,
            share(one.pd),
            "–" if one.low is None else f"{share(one.rate)} [{share(one.low)}, {share(one.high)}]",
            *(_p(value) for value in (one.binomial, one.jeffreys, one.jeffreys_holm)),
        ]
        for one in found.grades
    ]
    head = ["grade", "rows", "defaults", "PD", "seen [95 %]", "binomial p", "Jeffreys p", "two-sided, Holm"]
    return grid("Each grade's PD against what came (p small: the PD is too low)", head, rows)


def _together(scores: Scores, counts: GradeCounts) -> Grid:
    rows = []
    if (found := hosmer_lemeshow(counts)) is not None:
        rows.append(["Hosmer-Lemeshow", f"{found.statistic:.2f} on {found.degrees} degrees", _p(found.p)])
    if (normal := spiegelhalter(GRID.count(scores.p, scores.y))) is not None:
        rows.append(["Spiegelhalter", f"z {normal.z:+.2f}", _p(normal.p)])
    order = ordering(counts)
    rows.append(["Neighbours in the wrong order", f"{order.reversals} of {len(order.pairs)}", "–"])
    rows.append(["Neighbours told apart at 5 %", share(order.distinct), "–"])
    return grid("All grades together", ["test", "found", "p"], rows)


def _spread(scores: Scores) -> Grid:
    held = np.bincount(MASTER.place(scores.p), minlength=len(MASTER.grades))
    found = concentration([int(n) for n in held])
    rows = [
        ["Herfindahl index", as_text(found.herfindahl)],
        ["the same from 0 to 1", as_text(found.normalised)],
        ["largest grade's share", share(found.largest_share)],
    ]
    return grid("How far companies crowd into few grades", ["figure", "value"], rows)


def _name(found: GradeCounts, first: int, last: int) -> str:
    held = [k for k in range(first, last + 1) if found.companies[k]]
    low, high = (held[0], held[-1]) if held else (first, last)
    return found.names[low] if low == high else f"{found.names[low]} to {found.names[high]}"


def _p(value: float | None) -> str:
    return "–" if value is None else P_FORM.format(value)
