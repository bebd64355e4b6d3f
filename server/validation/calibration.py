"""The judged scores become the section on calibration: whether the PDs mean what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fedcredit.evaluation.figures import figure as as_text
from fedcredit.evaluation.proportions import jeffreys
from server.validation.cells import SMALLEST
from server.validation.content import Section, grid, told
from server.validation.drawings import dots, reliability
from server.validation.evidence import TITLES, Figure, figure
from server.validation.groups import Group
from server.validation.source import Scores, Source

FITTED_LATER = (
    "The bundle was calibrated after the run and does not say on which rows. If these were the judged ones, the "
    "figures here say how well the fit fits."
)


def calibration_section(source: Source, figures: Mapping[str, Figure], found: Sequence[Group]) -> Section:
    """Whether the PDs mean what they say, on all judged rows and by group."""
    scores = source.scores(source.headline)
    if scores is None:
        return Section("calibration", "Calibration")
    names = ("ece", "brier_skill", "observed_expected", "slope")
    rows = [[TITLES[name], told(figures[name]), figures[name].about] for name in names]
    predicted, observed, sizes = _reliability(scores)
    bins = [[as_text(mean), told(one), size] for mean, one, size in zip(predicted, observed, sizes, strict=True)]
    drawings = {"Reliability of the PDs as given out": reliability(predicted, observed)}
    for kind in dict.fromkeys(one.by for one in found):
        mine = [one for one in found if one.by == kind]
        drawings[f"Observed / expected by {kind}"] = dots(
            [one.name for one in mine],
            [one.observed_expected for one in mine],
            label=f"observed / expected defaults by {kind}, 95 % interval",
            at=1.0,
        )
    return Section(
        key="calibration",
        title="Calibration",
        says=(_verdict(figures),),
        grids=(
            grid("Calibration", ["figure", "value [95 %]", "how"], rows),
            grid("Bins of equal mass", ["mean PD", "observed rate [95 %]", "rows"], bins),
        ),
        drawings={caption: svg for caption, svg in drawings.items() if svg},
        uncovered=(
            "PDs through the cycle: one split is one moment, unless the rows carry periods.",
            *((FITTED_LATER,) if source.is_calibrated_later else ()),
        ),
    )


def _verdict(figures: Mapping[str, Figure]) -> str:
    one = figures["observed_expected"]
    if one.value is None or one.low is None or one.high is None:
        return "The level of the PDs cannot be judged on so few rows."
    if one.low > 1:
        return (
            f"The PDs are too low: {as_text(one.value)} times the expected defaults came, and the interval excludes 1."
        )
    if one.high < 1:
        return (
            f"The PDs are too high: {as_text(one.value)} times the expected defaults came, and the interval excludes 1."
        )
    return f"The level of the PDs fits: observed over expected is {told(one)}, which includes 1."


def _reliability(scores: Scores) -> tuple[list[float], list[Figure], list[int]]:
    """Mean PD, observed rate with its Jeffreys interval, and rows, in bins of equal mass that hold at least 10."""
    order = np.argsort(scores.p, kind="stable")
    parts = np.array_split(order, max(1, min(10, len(scores) // SMALLEST)))
    predicted, observed, sizes = [], [], []
    for part in parts:
        predicted.append(float(scores.p[part].mean()))
        observed.append(figure(*jeffreys(float(scores.y[part].sum()), len(part)), about="Jeffreys' interval"))
        sizes.append(len(part))
    return predicted, observed, sizes
