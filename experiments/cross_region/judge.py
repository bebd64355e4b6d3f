"""Scores of all regions' models become mapping tables from validation rows, and their agreement on test rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from fedcredit.credit.recognition import OwnScale, Recognition, recognise
from fedcredit.credit.scale import MASTER
from fedcredit.data.windows import Windows
from fedcredit.evaluation.metrics import ece

LEAST_CELL = 10  # companies of a region in a grade, below which a cell is not shown
LEVEL = 0.05
GRADES = 30  # of the first region's own scale; each further region has two more


@dataclass(frozen=True)
class Judgement:
    """Over test companies. A pair is a company rated on its own region's scale and on another's.

    cells_pass: share of region x master grade cells whose two-sided Jeffreys p is above .05. by_rank: the last region
    mapped without its outcomes, by rank against the first, beside its own table.
    """

    pairs: int
    within_one_notch: float
    same_grade: float
    cells: int
    cells_pass: float
    ece: float
    within_one_notch_by_rank: float


@dataclass(frozen=True)
class _Rater:
    """A region's own scale: where its grades end on its own scores, and what each is worth."""

    ends: NDArray[np.float64]
    table: Recognition

    def pd(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.table.pds[np.searchsorted(self.ends, score, side="right")]


def judge(rows: Windows, scores: Mapping[str, NDArray[np.float64]]) -> Judgement:
    """How far regions agree whose scales are mapped by their own counts; `scores` are each region's, of all rows."""
    raters = {region: _rater(rows, scores[region], region, grades=GRADES + 2 * k) for k, region in enumerate(scores)}
    regions = list(raters)
    steps, cells, pds = [], [], np.zeros(len(rows))
    is_test = rows.split == "test"
    for region in regions:
        home = is_test & (rows.institution == region)
        pds[home] = raters[region].pd(scores[region][home])
        mine = MASTER.place(pds[home])
        others = [MASTER.place(raters[one].pd(scores[one][home])) for one in regions if one != region]
        steps += [np.abs(mine - theirs) for theirs in others]
        cells += _cells(rows.y[home], mine, pds[home])
    apart = np.concatenate(steps)
    return Judgement(
        pairs=len(apart),
        within_one_notch=float((apart <= 1).mean()),
        same_grade=float((apart == 0).mean()),
        cells=len(cells),
        cells_pass=float(np.mean([p > LEVEL for p in cells])),
        ece=float(ece(rows.y[is_test], pds[is_test])),
        within_one_notch_by_rank=_by_rank(rows, scores[regions[-1]], raters, regions[-1], reference=regions[0]),
    )


def _rater(rows: Windows, score: NDArray[np.float64], region: str, *, grades: int) -> _Rater:
    """Grades of equally many validation companies, safest first, and the counts in them."""
    mine = (rows.split == "validation") & (rows.institution == region)
    ends = np.unique(np.quantile(score[mine], np.linspace(0, 1, grades + 1)[1:-1]))
    place = np.searchsorted(ends, score[mine], side="right")
    companies = np.bincount(place, minlength=len(ends) + 1)
    bad = np.bincount(place[rows.y[mine] > 0.5], minlength=len(ends) + 1)
    names = tuple(f"{region}/{k + 1}" for k in range(len(companies)))
    return _Rater(ends, recognise(OwnScale(region, names, tuple(companies.tolist()), tuple(bad.tolist()))))


def _cells(y: NDArray[np.float32], grade: NDArray[np.int64], pd: NDArray[np.float64]) -> list[float]:
    """Two-sided Jeffreys p of each grade with enough companies, at the mean PD of its companies."""
    found = []
    for one in np.unique(grade):
        at = grade == one
        n, d = int(at.sum()), int(y[at].sum())
        if n >= LEAST_CELL:
            below = float(beta(d + 0.5, n - d + 0.5).cdf(pd[at].mean()))
            found.append(2 * min(below, 1 - below))
    return found


def _by_rank(
    rows: Windows, score: NDArray[np.float64], raters: Mapping[str, _Rater], region: str, *, reference: str
) -> float:
    own = raters[region].table
    names, companies = tuple(r.own for r in own.rows), tuple(r.companies for r in own.rows)
    young = recognise(OwnScale(region, names, companies, None), reference=raters[reference].table)
    home = (rows.split == "test") & (rows.institution == region)
    place = np.searchsorted(raters[region].ends, score[home], side="right")
    apart = np.abs(MASTER.place(own.pds[place]) - MASTER.place(young.pds[place]))
    return float((apart <= 1).mean())
