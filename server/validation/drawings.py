"""Figures of a validation become SVG drawings, in the colours of the reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fedcredit.evaluation.drawing import INK, PALE, Drawing
from fedcredit.evaluation.plots import COLORS
from server.validation.evidence import Figure

MODEL, CHAMPION, OBSERVED = COLORS["federated"], COLORS["local"], COLORS["best_alone"]


class Line(NamedTuple):
    """A named line of points; `color` is one of the above."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    color: str = MODEL
    dash: str = "-"


def roc(lines: Sequence[Line]) -> str:
    """ROC curves of the model and of what it is set beside."""
    with Drawing("validation_roc", width=5.2, height=4.6) as drawing:
        drawing.axes.plot([0, 1], [0, 1], color=PALE, linewidth=1)
        for line in lines:
            style = {"color": line.color, "linestyle": line.dash, "linewidth": 1.8}
            drawing.axes.plot(line.x, line.y, label=drawing.say(line.name), **style)
        drawing.axes.set(xlabel="good companies refused", ylabel="defaults caught", xlim=(0, 1), ylim=(0, 1.01))
        drawing.axes.legend(loc="lower right", fontsize=9)
        return drawing.svg(title="ROC curves")


def approval(lines: Sequence[Line]) -> str:
    """Bad rate among the approved, by how many are approved."""
    with Drawing("validation_approval", width=5.2, height=4.6) as drawing:
        for line in lines:
            style = {"color": line.color, "linestyle": line.dash, "linewidth": 1.8}
            shares = [100 * value for value in line.y]
            drawing.axes.plot([100 * value for value in line.x], shares, label=drawing.say(line.name), **style)
        drawing.axes.set(xlabel="approved, % of companies, the safest first", ylabel="defaults among them, %")
        drawing.axes.set_ylim(bottom=0)
        drawing.axes.grid(axis="y", color=PALE, linewidth=0.5)
        drawing.axes.legend(loc="upper left", fontsize=9)
        return drawing.svg(title="Bad rate by approval rate")


def reliability(predicted: Sequence[float], observed: Sequence[Figure]) -> str:
    """Observed default rates with their intervals against predicted ones."""
    ends = [value for one in observed for value in (one.value, one.high) if value is not None]
    end = 1.05 * max([*predicted, *ends, 0.01])
    with Drawing("validation_reliability", width=5.2, height=4.6) as drawing:
        drawing.axes.plot([0, end], [0, end], color=PALE, linewidth=1)
        for x, one in zip(predicted, observed, strict=True):
            if one.low is not None:
                drawing.axes.plot([x, x], [one.low, one.high], color=MODEL, linewidth=1.2, alpha=0.6)
        drawing.axes.plot(predicted, [one.value for one in observed], color=MODEL, marker="o", markersize=5)
        drawing.axes.set(xlabel="predicted default rate", ylabel="observed default rate", xlim=(0, end), ylim=(0, end))
        return drawing.svg(title="Reliability")


def dots(names: Sequence[str], found: Sequence[Figure], *, label: str, at: float) -> str:
    """One figure with its interval a line, and a rule where it would stand if nothing were wrong."""
    told = [(name, one) for name, one in zip(names, found, strict=True) if one.value is not None]
    if len(told) < 2:
        return ""
    with Drawing(f"validation_{label}", width=6.6, height=1.0 + 0.3 * len(told)) as drawing:
        drawing.axes.axvline(at, color=INK, linewidth=1, linestyle=":")
        for place, (_, one) in enumerate(told):
            if one.low is not None:
                drawing.axes.plot([one.low, one.high], [place, place], color=MODEL, linewidth=1.5)
            drawing.axes.scatter([one.value], [place], color=MODEL, s=26)
        drawing.axes.set_yticks(range(len(told)), [drawing.say(name) for name, _ in told])
        drawing.axes.set_ylim(len(told) - 0.4, -0.6)
        drawing.axes.grid(axis="x", color=PALE, linewidth=0.5)
        drawing.axes.set_xlabel(label)
        return drawing.svg(title=label)


def pairs(names: Sequence[str], first: Sequence[float], second: Sequence[float], *, words: Sequence[str]) -> str:
    """Two bars a name: expected and observed, or before and now, in per cent."""
    if not names:
        return ""
    place = np.arange(len(names))
    with Drawing(f"validation_{words[-1]}", width=max(5.2, 1.2 + 0.42 * len(names)), height=4.0) as drawing:
        for shift, values, color, name in ((-0.2, first, MODEL, words[0]), (0.2, second, OBSERVED, words[1])):
            drawing.axes.bar(
                place + shift, [100 * one for one in values], width=0.38, color=color, label=drawing.say(name)
            )
        turned = 0 if max(map(len, names)) < 6 else 90
        drawing.axes.set_xticks(place, names, rotation=turned, fontsize=9)  # our own words: grades, numbers of bins
        drawing.axes.set_ylabel(words[2])
        drawing.axes.grid(axis="y", color=PALE, linewidth=0.5)
        drawing.axes.legend(fontsize=9)
        return drawing.svg(title=f"{words[0]} and {words[1]}")


def bars(names: Sequence[str], values: Sequence[float], *, label: str) -> str:
    """One bar a name, the longest first."""
    if not names:
        return ""
    with Drawing(f"validation_{label}", width=6.6, height=1.0 + 0.28 * len(names)) as drawing:
        drawing.axes.barh(range(len(names)), values, height=0.65, color=MODEL)
        drawing.axes.set_yticks(range(len(names)), [drawing.say(name) for name in names])
        drawing.axes.set_ylim(len(names) - 0.4, -0.6)
        drawing.axes.grid(axis="x", color=PALE, linewidth=0.5)
        drawing.axes.set_xlabel(label)
        return drawing.svg(title=label)


def heat(names: Sequence[str], shares: Sequence[Sequence[float]], *, words: Sequence[str]) -> str:
    """A square of shares, one cell a pair of names, in per cent; what is not a number is not shown."""
    from matplotlib.colors import LinearSegmentedColormap

    table = 100 * np.asarray(shares, dtype=np.float64)
    side = 1.6 + 0.46 * len(names)
    with Drawing(f"validation_{words[0]}", width=max(4.2, side), height=max(3.6, side - 0.4)) as drawing:
        colors = LinearSegmentedColormap.from_list("shares", ["#ffffff", MODEL])
        drawing.axes.set_facecolor(PALE)  # behind the cells that are hidden
        drawing.axes.pcolormesh(np.ma.masked_invalid(table), cmap=colors, vmin=0, vmax=100, edgecolor="white")
        for (i, j), value in np.ndenumerate(table):
            if np.isfinite(value) and value > 0:
                color = "white" if value > 60 else INK
                drawing.axes.text(j + 0.5, i + 0.5, f"{value:.0f}", ha="center", va="center", fontsize=8, color=color)
        places = np.arange(len(names)) + 0.5
        drawing.axes.set_xticks(places, names, rotation=90, fontsize=9)  # our own words: grades
        drawing.axes.set_yticks(places, names, fontsize=9)
        drawing.axes.invert_yaxis()
        drawing.axes.set(xlabel=words[0], ylabel=words[1])
        return drawing.svg(title=f"Grade {words[1]} and {words[0]}")


def steps(lines: Sequence[Line], *, label: str) -> str:
    """Cumulative default rates by age, one line a vintage."""
    if not lines:
        return ""
    with Drawing("validation_vintages", width=5.6, height=4.4) as drawing:
        for line in lines:
            style = {"color": line.color, "linestyle": line.dash, "marker": "o", "markersize": 3.5, "linewidth": 1.6}
            drawing.axes.plot(line.x, [100 * y for y in line.y], label=drawing.say(line.name), **style)
        drawing.axes.set(xlabel=label, ylabel="defaulted by then, % of companies")
        drawing.axes.set_ylim(bottom=0)
        drawing.axes.set_xticks(sorted({int(x) for line in lines for x in line.x}))
        drawing.axes.grid(axis="y", color=PALE, linewidth=0.5)
        drawing.axes.legend(fontsize=9)
        return drawing.svg(title="Cumulative default rate by vintage")
