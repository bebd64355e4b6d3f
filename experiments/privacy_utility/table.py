"""A run's report becomes the page's tables: AUC and calibration by model and noise, a column an epsilon."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# As the page names them: whose noise, by arm and `noise` of the report.
NOISES = {
    ("federated", "local"): "local",
    ("federated", "distributed"): "distributed",
    ("pooled", "central"): "central",
}
Row = Mapping[str, Any]


def tables(report: Mapping[str, Any]) -> str:
    """Two tables in Markdown, of the report's first split: AUC [95 %], and calibration slope / calibration error."""
    split = report["splits"][0]
    rows = [row for row in report["rows"] if row["scored_on"] == "all" and row["split"] == split]
    rows = [row for row in rows if row["arm"] in ("federated", "pooled")]
    head = ["model", "noise", *(_column(epsilon) for epsilon in _epsilons(rows))]
    return f"{_table(head, rows, _auc)}\n\n{_table(head, rows, _calibration)}\n"


def _table(head: Sequence[str], rows: Sequence[Row], cell: Any) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for model in dict.fromkeys(row["model"] for row in rows):
        for (arm, noise), name in NOISES.items():
            cells = []
            for epsilon in _epsilons(rows):
                # Without privacy there is no noise to tell apart: one federated row stands for both.
                wanted = (model, arm, epsilon, "none" if epsilon is None else noise)
                found = [r for r in rows if (r["model"], r["arm"], r["epsilon"], r["noise"]) == wanted]
                cells.append(cell(found[0]) if found else "")
            lines.append(f"| {model} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _epsilons(rows: Sequence[Row]) -> list[float | None]:
    known = {row["epsilon"] for row in rows}
    return sorted(known, key=lambda epsilon: -float("inf") if epsilon is None else -epsilon)


def _column(epsilon: float | None) -> str:
    return "no privacy" if epsilon is None else f"eps {epsilon:g}"


def _auc(row: Row) -> str:
    if row["auc"] is None:
        return "too few"
    low, high = (f"{row[end]:.3f}".removeprefix("0") for end in ("auc_low", "auc_high"))
    return f"{row['auc']:.3f}".removeprefix("0") + f" [{low}, {high}]"


def _calibration(row: Row) -> str:
    return f"{row['slope']:.2f} / {row['ece']:.3f}" if row["slope"] is not None else f"- / {row['ece']:.3f}"


if __name__ == "__main__":
    sys.stdout.write(tables(json.loads((Path(sys.argv[1]) / "report.json").read_text())))
