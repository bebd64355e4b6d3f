"""report.json becomes a page in Markdown, to paste into a study's README or an issue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fedcredit.evaluation.figures import (
    NOTHING,
    auc_interval,
    change,
    epsilon,
    facts,
    figure,
    interval,
    lending,
    money_change,
    points,
)
from fedcredit.evaluation.incidents import incidents
from fedcredit.evaluation.plots import variant_name


def markdown(report: Mapping[str, Any]) -> str:
    """The whole of report.md."""
    parts = [
        f"# {_cell(report['study'])}",
        *([_cell(report["question"])] if report.get("question") else []),
        f"Data: {_cell(report['dataset'])}. Split {_cell(', '.join(report['splits']))}, {len(report['seeds'])} seed"
        f"{'' if len(report['seeds']) == 1 else 's'}. "
        "Intervals are 95 % over companies and seeds, paired on identical rows.",
        *_gain(report["gain"]),
        *_targets(report["targets"]),
        "## Local, federated, pooled",
        _comparisons([one for one in report["comparisons"] if one["headline"]]),
        "## Figures",
        _rows(report["rows"]),
        *_incidents(report["rounds"]),
        "## Privacy",
        *(_cell(sentence) for sentence in report["privacy"]),
        "## The run",
        _table(["Fact", "Value"], [[name, value] for name, value in facts(report).items()]),
    ]
    return "\n\n".join(parts) + "\n"


def _gain(gain: Sequence[Mapping[str, Any]]) -> list[str]:
    if not gain:
        return []
    lines: list[list[str]] = []
    for one in gain:
        start = [one["institution"], f"**{one['verdict']}**"]
        lines.extend([*start, *_against(against)] for against in one["against"])
        if not one["against"]:
            lines.append([*start, one["reason"], *[NOTHING] * 5])
    head = [
        "Institution",
        "Verdict",
        "Against",
        "AUC",
        "KS",
        "Bad rate at own approval rate",
        "Approval at own bad rate",
        "Loss / 1,000 applicants",
    ]
    words = (
        f"The {variant_name(gain[0]['federated'])} model beside what each institution has without it, on its own rows. "
        + lending(gain[0])
    )
    return ["## What do I gain by joining?", _cell(words), _table(head, lines, bold=1), _cell(gain[0]["rule"])]


def _against(against: Mapping[str, Any]) -> list[str]:
    changes = against["changes"]
    return [
        against["baseline"],
        change(changes["auc"]),
        change(changes["ks"]),
        points(changes["bad_rate"]),
        points(changes["approval_rate"]),
        money_change(changes["expected_loss"]),
    ]


def _targets(targets: Sequence[Mapping[str, Any]]) -> list[str]:
    if not targets:
        return []
    lines = [
        [one["name"], one["asked"], _measured(one["measured"]), "yes" if one["met"] else "**no**"] for one in targets
    ]
    return ["## Asked and measured", _table(["Target", "Asked", "Measured", "Met"], lines, bold=3)]


def _measured(value: Any) -> str:
    return figure(value) if value is None or isinstance(value, (int, float)) else str(value)


def _comparisons(entries: Iterable[Mapping[str, Any]]) -> str:
    lines = []
    for one in entries:
        is_difference = " - " in one["name"]
        place = "the whole split" if one["institution"] == "all" else f"own slices, mean of {one['institutions_n']}"
        other = epsilon(one["other_epsilon"]) if is_difference else ""
        told = change(one) if is_difference else interval(one)
        about = [one["model"] or "", one["method"], epsilon(one["epsilon"]), one["noise"]]
        lines.append([one["name"], place, one["split"], *about, other, told])
    about = ["Model", "Method", "Epsilon", "Noise"]
    head = ["Comparison of AUC", "Scored on", "Split", *about, "Other epsilon", "Figure [95 %]"]
    return _table(head, lines)


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    head = [
        "Arm",
        "Model",
        "Method",
        "Left out",
        "Institution",
        "Scored on",
        "Split",
        "Epsilon",
        "Noise",
        "n",
        "Defaults",
        "AUC",
    ]
    tail = ["auc_stratified", "ks", "brier", "ece", "slope"]
    lines = [
        [
            *(row[name] or "" for name in ("arm", "model", "method", "left_out", "institution", "scored_on", "split")),
            epsilon(row["epsilon"]),
            row["noise"],
            str(row["n"]),
            str(row["positives"]),
            auc_interval(row),
            *(figure(row[name]) for name in tail),
        ]
        for row in rows
    ]
    return _table([*head, "in strata", "KS", "Brier", "ECE", "Slope"], lines)


def _incidents(rounds: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [[one.variant, one.institution, one.what, str(one.count), one.rounds] for one in incidents(rounds)]
    return (
        ["## Quarantined or late", _table(["Model", "Institution", "What", "Times", "Rounds"], lines)] if lines else []
    )


def _table(head: Sequence[str], lines: Iterable[Sequence[str]], *, bold: int | None = None) -> str:
    rule = "|" + "---|" * len(head)
    body = [
        # Column `bold` holds our own words, with their own asterisks.
        "| " + " | ".join(text if place == bold else _cell(text) for place, text in enumerate(line)) + " |"
        for line in lines
    ]
    return "\n".join([f"| {' | '.join(head)} |", rule, *body])


def _cell(text: str) -> str:
    """Text from outside, as text: no markup, no new line, no end of the cell."""
    plain = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", plain)
