"""Grades of the same companies at two dates become the section on how far they move."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.scale import MASTER
from fedcredit.evaluation.figures import figure as as_text
from fedcredit.evaluation.figures import share
from fedcredit.evaluation.migration import Migration, migration
from server.validation.cells import SMALLEST, runs_of
from server.validation.concealed import concealed
from server.validation.content import Grid, Section, grid
from server.validation.drawings import heat
from server.validation.moved import Moved

KEY, TITLE = "migration", "Migration between grades"
HIDDEN = "–"
WIDER = (10, 15, 20, 30, 40, 60, 80, 120, 160, 320)
MOST_HIDDEN = 0.25  # of the companies; else grades are put together once more
NOT_KNOWN = (
    "No company is graded at two dates, neither in the scored rows of the run nor in the score book of this version, "
    "so nothing can be said of how far grades move. fedcredit model rescore fills the book, period by period."
)


def migration_section(found: Mapping[str, Moved | None]) -> Section:
    """One matrix for each place that grades were found in, by its name."""
    held = {name: (one, about) for name, one in found.items() if one and (about := migration(one.counts))}
    if not held:
        return Section(KEY, TITLE, says=(NOT_KNOWN,), uncovered=("Everything that a migration matrix tells.",))
    tables = {name: _matrix(name, one) for name, (one, _) in held.items()}
    return Section(
        key=KEY,
        title=TITLE,
        says=tuple(_said(name, one, about) for name, (one, about) in held.items()),
        grids=(_together(held), *(made for made, _ in tables.values())),
        drawings={f"{name}: grade before and after, % of a row": drawn for name, (_, drawn) in tables.items()},
        uncovered=(
            f"Cells of 1 to {SMALLEST - 1} companies ({HIDDEN}), and cells from which one of those could be computed. "
            f"Neighbouring grades of fewer than {SMALLEST} companies stand together; shares of all companies are of "
            "counts rounded to ten.",
            "Moves to default, which are the section on grades; and companies that have left between the two dates.",
            "Whether a move is the company's or the cycle's: PDs point in time move in a bad year with everybody.",
        ),
    )


def _said(name: str, one: Moved, about: Migration) -> str:
    later = f"{one.steps} {one.unit}{'s' if one.steps > 1 else ''} later" if one.unit != "number" else "the next period"
    others = f" {one.others} pairs of grades at another distance are left out." if one.others >= SMALLEST else ""
    return (
        f"{name}: of {one.companies:,} companies {_tens(about.stayed, one)} have the same grade {later}, and "
        f"{_tens(about.within_one, one)} are within one notch. Each company counts once, with its latest two grades."
        f"{others}"
    )


def _together(held: Mapping[str, tuple[Moved, Migration]]) -> Grid:
    rows = [
        [
            name,
            one.companies,
            _tens(about.stayed, one),
            _tens(about.within_one, one),
            *map(_short, (about.upper, about.lower)),
        ]
        for name, (one, about) in held.items()
    ]
    head = ["grades of", "companies", "same grade", "within one notch", "upper bandwidth", "lower bandwidth"]
    return grid("How far grades move, on all 19 notches (bandwidth: 0 nobody moved, 1 as far as can be)", head, rows)


def _tens(part: float, one: Moved) -> str:
    """A share of companies counted in tens: an exact sum over the diagonal would tell of cells that are hidden."""
    return share(min(1.0, round(part * one.companies, -1) / one.companies))


def _short(bandwidth: float) -> str:
    return as_text(round(bandwidth, 2))[:-1]


def _matrix(name: str, one: Moved) -> tuple[Grid, str]:
    """The matrix, its grades put together until each holds ten companies, and few enough of all are hidden."""
    for least in WIDER:
        names, counts = _together_by(one.counts, least=least)
        hidden = concealed(counts)
        if counts[hidden].sum() <= MOST_HIDDEN * counts.sum():
            break
    totals = counts.sum(axis=1)
    shares = counts / totals[:, None]
    rows = [[names[i], int(totals[i]), *map(_cell, shares[i].tolist(), hidden[i].tolist())] for i in range(len(names))]
    made = grid(f"{name}: from the grade on the left, % of its companies", ["before", "companies", *names], rows)
    return made, heat(names, np.where(hidden, np.nan, shares).tolist(), words=("after", "before"))


def _together_by(counts: NDArray[np.int64], *, least: int) -> tuple[list[str], NDArray[np.int64]]:
    """Neighbouring grades put together until each has so many companies before and after, or all are one."""
    sizes = np.minimum(counts.sum(axis=1), counts.sum(axis=0))
    parts = runs_of(sizes.tolist(), smallest=least) or [(0, len(counts) - 1)]
    starts = [first for first, _ in parts]
    joined: NDArray[np.int64] = np.add.reduceat(np.add.reduceat(counts, starts, axis=0), starts, axis=1)
    return [_name(first, last, counts) for first, last in parts], joined


def _cell(part: float, is_hidden: bool) -> str:
    return HIDDEN if is_hidden else share(part) if part else "0"


def _name(first: int, last: int, counts: NDArray[np.int64]) -> str:
    held = [k for k in range(first, last + 1) if counts[k].any() or counts[:, k].any()]
    low, high = (held[0], held[-1]) if held else (first, last)
    names = [grade.name for grade in MASTER.grades]
    return names[low] if low == high else f"{names[low]} to {names[high]}"
