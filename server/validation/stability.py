"""The scores of two splits, and of each period, become how far the population has moved."""

from __future__ import annotations

import numpy as np

from fedcredit.evaluation.figures import figure as as_text
from fedcredit.evaluation.grid import GRID, equal_mass
from fedcredit.evaluation.periods import Period, out_of_time
from fedcredit.evaluation.slices import Slice
from fedcredit.evaluation.stability import STEADY, score_stability
from server.validation.cells import SMALLEST, is_key
from server.validation.content import Grid, Section, grid, told
from server.validation.drawings import pairs
from server.validation.evidence import Figure, figure, unknown
from server.validation.source import Scores, Source

BEFORE = "validation"
BINS = 10


def psi_figure(source: Source) -> Figure:
    """PSI of the score from the validation split to the judged one; a run keeps no scores of its training rows."""
    before, now = _both(source)
    if before is None or now is None:
        return unknown(f"the run has no scores on another split than {source.headline} to compare with")
    found = score_stability(GRID.count(before.p, before.y), GRID.count(now.p, now.y), bins=BINS)
    about = (
        f"from split {BEFORE} ({len(before)} rows) to {now.split} ({len(now)}); training rows are not scored; "
        f"two samples of one population stay below {as_text(found.by_chance)} 19 times of 20"
    )
    return figure(found.psi, about=about)


def stability(source: Source, psi: Figure) -> Section:
    """The section: PSI between splits, and figures out of time where the rows have periods."""
    before, now = _both(source)
    grids: list[Grid] = []
    drawings: dict[str, str] = {}
    if before is not None and now is not None:
        grids.append(grid("Score", ["figure", "value", "how"], [["PSI", told(psi), psi.about]]))
        drawings["Shares of companies by score"] = _shares(before, now)
    periods = None if now is None or "stratum" not in now.about else _periods(now)
    if periods is not None:
        grids.append(periods)
    return Section(
        key="stability",
        title="Stability",
        says=(_verdict(psi),),
        grids=tuple(grids),
        drawings=drawings,
        recompute=(f"fedcredit model validate {source.subject} --runs RUNS --json",),
        uncovered=(
            "The training rows: a run keeps no scores of them, so the validation split stands for them.",
            *(() if periods is not None else ("Time: the scores of this run carry no period.",)),
            "Live applicants: fedcredit model rescore and the score book see them.",
        ),
    )


def _both(source: Source) -> tuple[Scores | None, Scores | None]:
    headline = source.headline.split("+")
    return None if BEFORE in headline else source.scores(BEFORE), source.scores(source.headline)


def _verdict(psi: Figure) -> str:
    if psi.value is None:
        return "Whether the population has moved cannot be told from this run."
    word = "steady" if psi.value < STEADY else "some change" if psi.value <= 0.25 else "moved"
    return f"The population of the judged split: {word} (PSI {as_text(psi.value)}; steady below .10, moved above .25)."


def _shares(before: Scores, now: Scores) -> str:
    """Both samples in about ten bins that hold the same share of the first."""
    first, second = (GRID.count(one.p, one.y).sum(axis=0) for one in (before, now))
    which = equal_mass(first, bins=min(BINS, max(1, len(before) // SMALLEST)))
    used = np.unique(which)
    shares = [np.bincount(which, side, int(which.max()) + 1)[used] / side.sum() for side in (first, second)]
    names = [str(number + 1) for number in range(len(used))]
    words = (before.split, now.split, "companies, % (bins from the safest)")
    return pairs(names, shares[0].tolist(), shares[1].tolist(), words=words)


def _periods(scores: Scores) -> Grid | None:
    names = np.array([str(name) if is_key(name) else "" for name in scores.about["stratum"].tolist()])
    held = names != ""
    counts = GRID.count_by(scores.p[held], scores.y[held], names[held]) if held.any() else {}
    found = out_of_time(counts) if len(counts) > 1 else None
    if found is None or found.base is None:
        return None
    rows = [[*_row(found.base), "–", "–"], *([*_row(one.figures), *_moved(one)] for one in found.periods)]
    if found.hidden:
        rows.append([f"not shown, too few: {', '.join(found.hidden)}", *["–"] * 7])
    head = ["period", "rows", "defaults", "AUC [95 %]", "observed / expected [95 %]", "PSI", "AUC change [95 %]"]
    return grid(f"By period, beside {found.base.name}", head, [row[: len(head)] for row in rows])


def _row(one: Slice) -> list[object]:
    auc = unknown("") if one.auc is None else figure(*one.auc, about="")
    return [one.name, one.companies, one.defaults, told(auc), told(figure(*one.observed_expected, about=""))]


def _moved(one: Period) -> list[str]:
    change = unknown("") if one.auc_change is None else figure(*one.auc_change, about="")
    return [as_text(one.stability.psi), told(change)]
