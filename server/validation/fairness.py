"""Groups of companies become the widest gaps between them, by size, sector, region, institution and period."""

from __future__ import annotations

import numpy as np

from fedcredit.evaluation.fairness import Fairness, Gap, fairness
from fedcredit.evaluation.grid import GRID
from server.validation.content import Section, grid, told
from server.validation.evidence import Figure, figure, unknown
from server.validation.groups import kinds_of
from server.validation.source import Scores, Source

WORDS = {
    "auc": "AUC",
    "approval_rate": "approval rate",
    "bad_rate": "bad rate",
    "observed_expected": "observed / expected",
}
NO_GROUPS = "no two groups have ten companies of either class"
MOST = 40


def gaps(scores: Scores, *, approval_rate: float, by_institution: bool, institutions_are: str) -> list[Fairness]:
    """Gaps by every kind of group that the rows have a column for, at the PD that approves this share of all rows.

    They come from counts on the score grid, so that they federate. Cells of fewer than 10 are neither shown nor used.
    """
    cutoff = float(np.quantile(scores.p, approval_rate))
    found = []
    for by, names in kinds_of(scores, by_institution=by_institution, institutions_are=institutions_are).items():
        held = np.array([name is not None for name in names], dtype=bool)
        counts = GRID.count_by(scores.p[held], scores.y[held], names[held].astype(str)) if held.any() else {}
        if 1 < len(counts) <= MOST:
            found.append(fairness(counts, by=by, cutoff=cutoff))
    return found


def fairness_figure(found: list[Fairness]) -> Figure:
    """The widest gap in AUC between two groups of one kind: whom the model tells apart less well.

    Of several kinds the one that chance explains least, by the low end of its interval: the wide gap of many small
    groups, such as 28 regions, does not hide a narrower one that is sure.
    """
    widest = [(one.by, gap) for one in found if (gap := one.gap("auc")) is not None]
    if not widest:
        return unknown(NO_GROUPS)
    by, gap = max(widest, key=lambda pair: pair[1].low)
    about = (
        f"widest AUC gap by {by}, of all kinds the surest: {gap.highest} above {gap.lowest}; the interval holds for "
        "all pairs of that kind, and the widest of many gaps is above 0 by chance alone: judge its low end"
    )
    return figure(gap.difference, gap.low, gap.high, about=about)


def fairness_section(source: Source, found: list[Fairness], widest: Figure, *, hides: bool) -> Section:
    """The section on gaps."""
    rows = [_row(one, gap) for one in found for gap in one.gaps]
    head = ["by", "figure", "highest", "lowest", "gap [95 %]", "more than chance"]
    rate = source.settings.gain.approval_rate
    return Section(
        key="fairness",
        title="Fairness",
        says=(
            f"Widest gap in AUC: {told(widest)}. Approval is at the PD that approves {rate:.0%} of all judged rows.",
            "A gap in bad rates is the world's. A gap in observed over expected is the model's: it makes one group pay "
            "for another. A gap in approval rates follows from both.",
        ),
        grids=(grid("Widest gaps between two groups of one kind", head, rows),),
        recompute=(f"fedcredit model validate {source.subject} --runs RUNS --json",),
        uncovered=(
            "Protected attributes of owners: the rows have none, and none should be collected for this file alone.",
            "Who never applied, or was sent away before.",
            *(("Gaps between institutions: competitors would read them here.",) if hides else ()),
        ),
    )


def _row(one: Fairness, gap: Gap) -> list[str]:
    size = figure(gap.difference, gap.low, gap.high, about="")
    return [one.by, WORDS[gap.figure], gap.highest, gap.lowest, told(size), "yes" if gap.is_clear else "no"]
