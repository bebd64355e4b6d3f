"""Figures of a report become SVG drawings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedcredit.evaluation.drawing import INK, PALE, Drawing

# Okabe and Ito's palette: colour-blind readers tell these apart; shapes and dashes repeat what the colour says.
COLORS = {
    "incumbent": "#777777",
    "local": "#E69F00",
    "best_alone": "#CC79A7",
    "federated": "#0072B2",
    "pooled": "#009E73",
}
MARKERS = {"incumbent": "D", "local": "o", "best_alone": "s", "federated": "^", "pooled": "v"}
DASHES = ("-", "--", ":", "-.")
MOST_INSTITUTIONS = 30
MOST_LINES = 8
BY_ROUND = {"auc": "Validation AUC", "loss": "Training loss"}

Entries = Sequence[Mapping[str, Any]]


def plots(report: Mapping[str, Any]) -> dict[str, str]:
    """Every drawing that the report has the figures for, by caption."""
    drawn = {
        "What each institution gains over its best own model": gain_bars(report["gain"]),
        "AUC at each institution, on its own rows": by_institution(report["rows"], report["splits"][0]),
        **_by_epsilon(report["rows"], report["splits"][0]),
        "ROC, on the whole split": roc(report["curves"]["roc"]),
        "Reliability, after prior shift": reliability(report["curves"]["reliability"]),
        **{f"{words} by round": rounds(report["rounds"], name) for name, words in BY_ROUND.items()},
    }
    return {caption: svg for caption, svg in drawn.items() if svg}


def roc(lines: Entries) -> str:
    """One line a variant, from `curves`."""
    if not lines:
        return ""
    with Drawing("roc", width=5.2, height=4.8) as drawing:
        drawing.axes.plot([0, 1], [0, 1], color=PALE, linewidth=1)
        for line, style in zip(lines[:MOST_LINES], _styles(lines), strict=False):
            drawing.axes.plot(line["false"], line["true"], label=drawing.say(variant_name(line)), **style)
        drawing.axes.set(xlabel="good companies refused", ylabel="defaults caught", xlim=(0, 1), ylim=(0, 1))
        drawing.axes.legend(loc="lower right", fontsize=9)
        return drawing.svg(title="ROC curves")


def reliability(lines: Entries) -> str:
    """Observed against predicted rates in bins of equal mass, from `curves`."""
    if not lines:
        return ""
    end = 1.05 * max(max(*line["predicted"], *line["observed"], 0.01) for line in lines)
    with Drawing("reliability", width=5.2, height=4.8) as drawing:
        drawing.axes.plot([0, end], [0, end], color=PALE, linewidth=1)
        for line, style in zip(lines[:MOST_LINES], _styles(lines), strict=False):
            marker = MARKERS.get(line["arm"], "o")
            label = drawing.say(variant_name(line))
            drawing.axes.plot(line["predicted"], line["observed"], marker=marker, markersize=5, label=label, **style)
        drawing.axes.set(xlabel="predicted default rate", ylabel="observed default rate", xlim=(0, end), ylim=(0, end))
        drawing.axes.legend(loc="upper left", fontsize=9)
        return drawing.svg(title="Reliability diagram")


def by_institution(rows: Entries, split: str) -> str:
    """AUC with its interval, a line an institution and a mark an arm, at its smallest epsilon."""
    own = [row for row in rows if _is_own(row, split)]
    names = sorted({row["institution"] for row in own}, key=lambda name: -max(_sizes(own, name)))[:MOST_INSTITUTIONS]
    arms = [arm for arm in COLORS if any(row["arm"] == arm for row in own)]
    if not names:
        return ""
    with Drawing("by_institution", width=6.8, height=1.3 + 0.16 * len(names) * (len(arms) + 1)) as drawing:
        for place, arm in enumerate(arms):
            shown = _smallest_epsilon([row for row in own if row["arm"] == arm])
            offset = (place - (len(arms) - 1) / 2) * 0.8 / max(len(arms), 1)
            heights = [names.index(row["institution"]) + offset for row in shown if row["institution"] in names]
            shown = [row for row in shown if row["institution"] in names]
            _dots(drawing, shown, heights, arm=arm, label=variant_name(shown[0]) if shown else arm)
        drawing.axes.set_yticks(range(len(names)), [drawing.say(name) for name in names])
        drawing.axes.invert_yaxis()
        drawing.axes.axvline(0.5, color=PALE, linewidth=1)
        drawing.axes.grid(axis="x", color=PALE, linewidth=0.5)
        drawing.axes.set_xlabel("AUC, 95 % interval")
        drawing.axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, fontsize=9)
        return drawing.svg(title="AUC by institution")


def _by_epsilon(rows: Entries, split: str) -> dict[str, str]:
    """A drawing for each kind of model that was federated, by caption; of several, each has its own axes."""
    kinds = list(dict.fromkeys(row["model"] for row in rows if row["arm"] == "federated"))
    if len(kinds) < 2:
        return {"AUC against epsilon, on the whole split": against_epsilon(rows, split)}
    return {
        f"AUC against epsilon, {kind}, on the whole split": against_epsilon(
            [row for row in rows if row["model"] == kind], split
        )
        for kind in kinds
    }


def against_epsilon(rows: Entries, split: str) -> str:
    """AUC of each arm at each epsilon, a line for each kind of noise; for one-institution arms the mean over
    institutions. Empty without noise.
    """
    whole = [row for row in rows if row["scored_on"] == "all" and row["split"] == split and row["auc"] is not None]
    whole = [row for row in whole if row["arm"] in ("local", "federated", "pooled") and row["left_out"] is None]
    epsilons = sorted({_epsilon(row) for row in whole})
    if len(epsilons) < 2:
        return ""
    # Where there is no noise, it is the end of every line.
    noisy = [row for row in whole if row["epsilon"] is not None]
    kinds = list(dict.fromkeys((row["arm"], row["method"], row["model"], row["noise"]) for row in noisy))[:MOST_LINES]
    with Drawing("epsilon") as drawing:
        for kind, style in zip(kinds, _styles([{"arm": kind[0]} for kind in kinds]), strict=True):
            mine = [row for row in whole if (row["arm"], row["method"], row["model"]) == kind[:3]]
            mine = [row for row in mine if row["epsilon"] is None or row["noise"] == kind[3]]
            at = sorted({_epsilon(row) for row in mine})
            means = [_mean([row["auc"] for row in mine if _epsilon(row) == epsilon]) for epsilon in at]
            label = drawing.say(" ".join(dict.fromkeys((kind[0], kind[1] or kind[0], kind[3]))))
            places = [epsilons.index(epsilon) for epsilon in at]
            drawing.axes.plot(places, means, marker=MARKERS[kind[0]], label=label, **style)
        names = ["no noise" if epsilon == float("inf") else f"{epsilon:g}" for epsilon in epsilons]
        drawing.axes.set_xticks(range(len(epsilons)), names)
        drawing.axes.set(xlabel="epsilon (more privacy to the left)", ylabel="AUC")
        drawing.axes.grid(axis="y", color=PALE, linewidth=0.5)
        drawing.axes.legend(fontsize=9)
        return drawing.svg(title="AUC against epsilon")


def rounds(history: Entries, figure: str) -> str:
    """One line a variant and seed over the rounds: `auc` on validation data, or `loss`, the mean of training."""
    told = [entry for entry in history if entry.get(figure) is not None]
    if not told:
        return ""
    kinds = list(dict.fromkeys(variant_name(entry) for entry in told))[:MOST_LINES]
    with Drawing(f"rounds_{figure}") as drawing:
        arms = [next(entry for entry in told if variant_name(entry) == kind) for kind in kinds]
        for kind, style in zip(kinds, _styles(arms), strict=True):
            mine = [entry for entry in told if variant_name(entry) == kind]
            for number, seed in enumerate(sorted({str(entry.get("seed")) for entry in mine})):
                line = sorted((e["round"], e[figure]) for e in mine if str(e.get("seed")) == seed)
                label = drawing.say(kind) if number == 0 else "_one label a kind"
                drawing.axes.plot(*zip(*line, strict=True), alpha=0.8, label=label, **style)
        drawing.axes.locator_params(axis="x", integer=True)
        words = BY_ROUND[figure]
        drawing.axes.set(xlabel="round", ylabel=words[0].lower() + words[1:])
        drawing.axes.grid(axis="y", color=PALE, linewidth=0.5)
        drawing.axes.legend(fontsize=9)
        return drawing.svg(title=f"{words} by round")


def gain_bars(gain: Entries) -> str:
    """AUC gain of each institution over the first of its own models; a bar whose interval includes 0 is pale."""
    told = [(one["institution"], one["against"][0]) for one in gain if one["against"]][:MOST_INSTITUTIONS]
    if not told:
        return ""
    with Drawing("gain", width=6.8, height=1.2 + 0.36 * len(told)) as drawing:
        for place, (_, against) in enumerate(told):
            change = against["changes"]["auc"]
            proven = change["low"] > 0 or change["high"] < 0
            color = COLORS["federated"] if change["difference"] >= 0 else "#D55E00"
            drawing.axes.barh(place, change["difference"], height=0.6, color=color, alpha=1.0 if proven else 0.35)
            drawing.axes.plot([change["low"], change["high"]], [place, place], color=INK, linewidth=1.5)
        drawing.axes.set_yticks(range(len(told)), [drawing.say(name) for name, _ in told])
        drawing.axes.invert_yaxis()
        drawing.axes.axvline(0, color=INK, linewidth=1)
        drawing.axes.grid(axis="x", color=PALE, linewidth=0.5)
        drawing.axes.set_xlabel("change in AUC on joining, 95 % interval (pale: not proven)")
        return drawing.svg(title="Gain by institution")


def variant_name(entry: Mapping[str, Any]) -> str:
    """A variant in a few words.

    >>> variant_name({"arm": "federated", "method": "fedsgd", "epsilon": 3.0})
    'federated fedsgd, epsilon 3'
    >>> variant_name({"arm": "federated", "method": "fedsgd", "epsilon": 3.0, "noise": "distributed"})
    'federated fedsgd, epsilon 3, distributed noise'
    """
    arm, method, epsilon = entry["arm"], entry.get("method"), entry.get("epsilon")
    name = f"{arm} {method}" if method not in (None, "", arm) and arm == "federated" else str(arm)
    if epsilon is None:
        return name
    return f"{name}, epsilon {epsilon:g}" + (", distributed noise" if entry.get("noise") == "distributed" else "")


def _dots(drawing: Drawing, rows: Entries, heights: Sequence[float], *, arm: str, label: str) -> None:
    color = COLORS.get(arm, INK)
    for row, height in zip(rows, heights, strict=True):
        drawing.axes.plot([row["auc_low"], row["auc_high"]], [height, height], color=color, linewidth=1.5)
    aucs = [row["auc"] for row in rows]
    drawing.axes.scatter(aucs, heights, color=color, marker=MARKERS.get(arm, "o"), s=26, label=drawing.say(label))


def _styles(lines: Entries) -> list[dict[str, Any]]:
    """A colour for the arm, another dash for each further line of that arm."""
    seen: dict[str, int] = {}
    styles = []
    for line in lines[:MOST_LINES]:
        turn = seen.get(line["arm"], 0)
        seen[line["arm"]] = turn + 1
        styles.append(
            {"color": COLORS.get(line["arm"], INK), "linestyle": DASHES[turn % len(DASHES)], "linewidth": 1.8}
        )
    return styles


def _is_own(row: Mapping[str, Any], split: str) -> bool:
    return row["scored_on"] == "own" and row["split"] == split and row["auc"] is not None and row["left_out"] is None


def _sizes(rows: Entries, institution: str) -> list[int]:
    return [row["n"] for row in rows if row["institution"] == institution]


def _smallest_epsilon(rows: Entries) -> list[Mapping[str, Any]]:
    """One row an institution: of the first method (and model, if it was not chosen), at the smallest epsilon."""
    if not rows:
        return []
    kind = min(rows, key=_epsilon)
    same = ("method", "epsilon", "noise", *(("model",) if kind["arm"] in ("federated", "pooled") else ()))
    return [row for row in rows if all(row[name] == kind[name] for name in same)]


def _epsilon(row: Mapping[str, Any]) -> float:
    return float("inf") if row["epsilon"] is None else float(row["epsilon"])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
