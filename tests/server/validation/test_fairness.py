"""Of the gaps of several kinds, the evidence holds the one that chance explains least."""

from __future__ import annotations

import numpy as np

from fedcredit.evaluation.fairness import Fairness, fairness
from fedcredit.evaluation.grid import GRID
from server.validation.fairness import fairness_figure


def kind(by: str, sizes: dict[str, tuple[int, float]]) -> Fairness:
    """Groups of so many companies, whose scores follow their outcomes so well."""
    rng = np.random.default_rng(5)
    counts = {}
    for name, (rows, strength) in sizes.items():
        y = np.arange(rows) % 4 == 0
        z = strength * y + rng.normal(size=rows) - 1.5
        counts[name] = GRID.count(1 / (1 + np.exp(-z)), y.astype(int))
    return fairness(counts, by=by)


def test_a_wide_gap_of_small_regions_does_not_hide_a_sure_one_between_sizes() -> None:
    sizes = kind("size", {"micro": (8000, 1.0), "small": (8000, 1.6)})
    regions = kind("region", {f"region-{k}": (44, 0.2 + 0.5 * (k % 6)) for k in range(12)})
    (sure, wide) = (one.gap("auc") for one in (sizes, regions))
    assert sure is not None
    assert wide is not None
    assert wide.difference > sure.difference
    assert wide.low < sure.low
    for found in ([sizes, regions], [regions, sizes]):
        figure = fairness_figure(found)
        assert (figure.value, figure.low, figure.high) == (sure.difference, sure.low, sure.high)
        assert "by size" in figure.about
        assert "small above micro" in figure.about


def test_no_groups_have_no_gap() -> None:
    assert fairness_figure([]).value is None
