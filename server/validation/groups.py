"""The judged rows become figures of each group: institution, size, sector, region, period."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.evaluation.delong import auc_interval
from fedcredit.evaluation.metrics import has_both_classes
from server.validation.cells import cells, companies, is_key
from server.validation.evidence import Figure, figure, unknown
from server.validation.figures import observed_expected
from server.validation.source import Scores

KINDS = {"size": "size", "sector": "sector", "region": "region", "stratum": "period"}
CODES = ("sector", "region")  # a number in them is a name
MOST = 40  # a page stays a page where a sector has hundreds of codes
MOST_NAMES = 24  # of a size or a period; more are a measure
TOO_FEW = "fewer than 10 companies of a class"
QUANTILES = ("quarter 1, smallest", "quarter 2", "quarter 3", "quarter 4, largest")


@dataclass(frozen=True)
class Group:
    """The model in one group of companies."""

    by: str
    name: str
    rows: int
    companies: int
    defaults: int
    expected: float
    auc: Figure
    observed_expected: Figure


def groups(scores: Scores, *, by_institution: bool, institutions_are: str = "institution") -> Iterator[Group]:
    """Figures of every group that the rows have a column for; cells of fewer than 10 companies are put together."""
    for by, names in kinds_of(scores, by_institution=by_institution, institutions_are=institutions_are).items():
        held = np.array([name is not None for name in names], dtype=bool)
        part = take(scores, held)
        found = cells(names[held], part.company) if held.any() else {}
        for name, inside in list(found.items())[:MOST]:
            yield _group(take(part, inside), by=by, name=name)


def kinds_of(scores: Scores, *, by_institution: bool, institutions_are: str) -> dict[str, NDArray[np.object_]]:
    """The name of each row's group (None: it has none), by kind of group.

    Where institutions are hidden, so is a kind whose groups are each in one institution: regional banks cut by region.
    """
    kinds: dict[str, NDArray[np.object_]] = {institutions_are: scores.institution} if by_institution else {}
    for column, word in KINDS.items():
        if column in scores.about:
            names = _named(scores.about[column].to_numpy(), is_code=column in CODES)
            if by_institution or not _tells_institutions(names, scores.institution):
                kinds[word] = names
    return kinds


def take(scores: Scores, inside: NDArray[np.bool_]) -> Scores:
    """The scores of some of the rows."""
    return Scores(
        scores.split,
        scores.y[inside],
        scores.raw[inside],
        scores.p[inside],
        scores.company[inside],
        scores.institution[inside],
        scores.about[inside].reset_index(drop=True),
    )


def _group(scores: Scores, *, by: str, name: str) -> Group:
    auc = unknown(TOO_FEW)
    if has_both_classes(scores.y):
        auc = figure(*auc_interval(scores.y, scores.p[None], company=scores.company), about="DeLong's interval")
    return Group(
        by,
        name,
        len(scores),
        companies(scores.company),
        int(scores.y.sum()),
        float(scores.p.sum()),
        auc,
        observed_expected(scores),
    )


def _tells_institutions(names: NDArray[np.object_], institution: NDArray[np.object_]) -> bool:
    """Whether each group is of one institution, out of several."""
    pairs = {(name, one) for name, one in zip(names.tolist(), institution.tolist(), strict=True) if name is not None}
    return len({one for _, one in pairs}) > 1 and len({name for name, _ in pairs}) == len(pairs)


def _named(values: NDArray[np.object_], *, is_code: bool) -> NDArray[np.object_]:
    """Names as they are; many different numbers, such as a balance sheet total, become quarters."""
    known = [value for value in values.tolist() if is_key(value)]
    is_measure = known and all(isinstance(value, (int, float)) for value in known) and len(set(known)) > MOST_NAMES
    if is_code or not is_measure:
        return np.array([str(v) if is_key(v) else None for v in values.tolist()], dtype=object)
    number = np.asarray(values, dtype=np.float64)
    cuts = np.nanquantile(number, [0.25, 0.5, 0.75])
    quarter = np.searchsorted(cuts, number, side="right")
    return np.array(
        [QUANTILES[q] if is_key(v) else None for q, v in zip(quarter, number.tolist(), strict=True)], dtype=object
    )
