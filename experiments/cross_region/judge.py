"""Scores of all regions' models become mapping tables from validation rows, and their agreement on test rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.recognition import OwnScale, Recognition, recognise
from fedcredit.credit.scale import MASTER
from fedcredit.data.windows import Windows
from fedcredit.evaluation.backtest import jeffreys_test_two_sided
from fedcredit.evaluation.metrics import ece

LEAST_CELL = 10  # companies of a region in a grade, below which a cell is not shown
LEVEL = 0.05
GRADES = 15  # of the first region's own scale; each further region has two more


@dataclass(frozen=True)
class Judgement:
    """Over test companies. A pair is a company rated on its own region's scale and on another's.

    Each scale is worth what it is among the companies of the region where the company is. from_afar: the other scale
    taken as it is worth among its own region's companies instead. cells_pass: share of region x master grade cells
    whose two-sided Jeffreys p is above .05. by_rank: the last region's scale without its outcomes, by rank against the
    first, beside its own table.
    """

    pairs: int
    within_one_notch: float
    same_grade: float
    cells: int
    cells_pass: float
    ece: float
    within_one_notch_from_afar: float
    within_one_notch_by_rank: float


@dataclass(frozen=True)
class _Rater:
    """A region's own scale: where its grades end on its own scores, and what each is worth among each region's."""

    score: NDArray[np.float64]
    ends: NDArray[np.float64]
    tables: Mapping[str, Recognition]

    def pd(self, at: NDArray[np.bool_], *, among: str) -> NDArray[np.float64]:
        return self.tables[among].pds[np.searchsorted(self.ends, self.score[at], side="right")]


def judge(rows: Windows, scores: Mapping[str, NDArray[np.float64]]) -> Judgement:
    """How far regions agree whose scales are mapped by counts; `scores` are each region's, of all rows."""
    raters = {region: _rater(rows, scores[region], region, grades=GRADES + 2 * k) for k, region in enumerate(scores)}
    near, afar, cells, pds = [], [], list[float](), np.zeros(len(rows))
    is_test = rows.split == "test"
    for region, rater in raters.items():
        home = is_test & (rows.institution == region)
        pds[home] = rater.pd(home, among=region)
        mine = MASTER.place(pds[home])
        for name, other in raters.items():
            if name != region:
                near.append(np.abs(mine - MASTER.place(other.pd(home, among=region))))
                afar.append(np.abs(mine - MASTER.place(other.pd(home, among=name))))
        cells += _cells(rows.y[home], mine, pds[home])
    apart = np.concatenate(near)
    first, last = next(iter(raters)), list(raters)[-1]
    return Judgement(
        pairs=len(apart),
        within_one_notch=float((apart <= 1).mean()),
        same_grade=float((apart == 0).mean()),
        cells=len(cells),
        cells_pass=float(np.mean([p > LEVEL for p in cells])),
        ece=float(ece(rows.y[is_test], pds[is_test])),
        within_one_notch_from_afar=float((np.concatenate(afar) <= 1).mean()),
        within_one_notch_by_rank=_by_rank(
            raters[last], is_test & (rows.institution == last), last, raters[first], first
        ),
    )


def _rater(rows: Windows, score: NDArray[np.float64], region: str, *, grades: int) -> _Rater:
    """Grades of equally many validation companies of the region, safest first, and their counts in every region."""
    is_held = rows.split == "validation"
    ends = np.unique(np.quantile(score[is_held & (rows.institution == region)], np.linspace(0, 1, grades + 1)[1:-1]))
    names = tuple(f"{region}/{k + 1}" for k in range(len(ends) + 1))
    tables = {}
    for among in rows.institutions:
        at = is_held & (rows.institution == among)
        place = np.searchsorted(ends, score[at], side="right")
        companies = np.bincount(place, minlength=len(names)).tolist()
        bad = np.bincount(place[rows.y[at] > 0.5], minlength=len(names)).tolist()
        tables[among] = recognise(OwnScale(region, names, tuple(companies), tuple(bad), among))
    return _Rater(score, ends, tables)


def _cells(y: NDArray[np.float32], grade: NDArray[np.int64], pd: NDArray[np.float64]) -> list[float]:
    """Two-sided Jeffreys p of each grade with enough companies, at the mean PD of its companies."""
    found = []
    for one in np.unique(grade):
        at = grade == one
        n, d = int(at.sum()), int(y[at].sum())
        if n >= LEAST_CELL:
            found.append(jeffreys_test_two_sided(d, n, float(pd[at].mean())))
    return found


def _by_rank(rater: _Rater, home: NDArray[np.bool_], region: str, other: _Rater, reference: str) -> float:
    own = rater.tables[region]
    names, companies = tuple(row.own for row in own.rows), tuple(row.companies for row in own.rows)
    young = recognise(OwnScale(region, names, companies, None), reference=other.tables[reference])
    place = np.searchsorted(rater.ends, rater.score[home], side="right")
    apart = np.abs(MASTER.place(own.pds[place]) - MASTER.place(young.pds[place]))
    return float((apart <= 1).mean())
