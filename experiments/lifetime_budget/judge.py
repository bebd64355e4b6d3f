"""The lives of the arms become AUCs quarter by quarter, and paired differences with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.windows import Windows, join
from fedcredit.evaluation.intervals import Ladder, company_weights, over_seeds, percentile_interval, seed_weights
from fedcredit.evaluation.metrics import Floats, auc

HELD_OUT = ("validation", "test")  # by the hash of the company: never trained on, in any quarter

# (arm, quarter, row) -> (seeds, rows) probabilities
Scorer = Callable[[str, int, Windows], Floats]


def judge(
    vintages: Mapping[int, Windows], score: Scorer, *, arms: Sequence[str], against: str, quarters: int, draws: int
) -> dict[str, Any]:
    """AUC of each arm on companies never trained on, by quarter and on average, and what each loses to `against`.

    A draw takes companies with all their quarters, within those that ever default and those that never do, and seeds;
    it is the same for all arms. `loss` is AUC(against) - AUC(arm).
    """
    rows = {quarter: vintages[quarter].part(*HELD_OUT) for quarter in range(quarters)}
    points: dict[str, Floats] = {arm: np.empty(quarters) for arm in arms}
    drawn: dict[str, Floats] = {arm: np.empty((quarters, draws)) for arm in arms}
    rng = np.random.default_rng(0)
    weights = _weights(list(rows.values()), rng=rng, draws=draws)
    picks: Floats | None = None
    for quarter, here in rows.items():
        for arm in arms:
            scores = score(arm, quarter, here)
            picks = seed_weights(len(scores), rng=rng, draws=draws) if picks is None else picks
            points[arm][quarter] = np.mean([auc(here.y, one) for one in scores])
            figures = np.stack([_drawn(here.y, one, weights[quarter]) for one in scores])
            drawn[arm][quarter] = over_seeds(figures, picks)
    return {
        "auc": {arm: _intervals(points[arm], drawn[arm]) for arm in arms},
        "loss": {
            arm: _intervals(points[against] - points[arm], drawn[against] - drawn[arm])
            for arm in arms
            if arm != against
        },
        "rows": [{"quarter": q, "n": len(one), "defaults": int(one.y.sum())} for q, one in rows.items()],
    }


def _weights(rows: Sequence[Windows], *, rng: np.random.Generator, draws: int) -> list[NDArray[np.float32]]:
    """How often each row is drawn (rows, draws), by quarter: a company's quarters come together."""
    everything = join(rows)
    chunks = company_weights(everything.y, everything.company, rng=rng, draws=draws)
    ends = np.cumsum([len(one) for one in rows])[:-1]
    return np.split(np.concatenate(list(chunks), axis=1), ends)


def _drawn(y: NDArray[np.float32], score: Floats, weights: NDArray[np.float32]) -> Floats:
    is_bad = y > 0
    return Ladder.of(score[is_bad], among=score[~is_bad]).auc(weights[is_bad], weights[~is_bad])


def _intervals(points: Floats, drawn: Floats) -> dict[str, Any]:
    """The figure of each quarter and their mean, each with its 95 % interval."""
    each = [percentile_interval(float(point), draws).rounded(4) for point, draws in zip(points, drawn, strict=True)]
    mean = percentile_interval(float(points.mean()), drawn.mean(axis=0)).rounded(4)
    return {"mean": list(mean), "quarters": [list(one) for one in each]}
