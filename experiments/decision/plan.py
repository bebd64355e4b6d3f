"""The way of `fedcredit model demo` before it is walked: the commands in their order, what is started and written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.decision.walk import COMPANIES, ECONOMY, INSTITUTION, KEYS, MISTYPED, MODEL, SHARE, STUDY
from experiments.demo.found import OFFICERS

# The commands of each step by their words; `walk` types them with their options.
STEPS = (
    (f"study of {ECONOMY['companies']:,} synthetic companies at five banks, under epsilon 3", ("study run",)),
    ("PDs on the master scale, and the validation file", ("model calibrate", "model validate")),
    (f"gates and promotion, signed by {len(KEYS)} officers", ("model gates", *["model approve"] * len(KEYS))),
    ("the first champion", ("model promote",)),
    ("a scoring service on 127.0.0.1 with a token", ("serve key", "serve token", "serve score")),
    (f"a table of {COMPANIES} companies, and a grade with reasons by HTTP", ("data economy",)),
    (f"a challenger for {SHARE:.0%} of the companies", ("model calibrate", "model challenge")),
    (
        f"a long-run rate of {MISTYPED}, mistyped: a gate refuses",
        ("model calibrate", "model validate", "model promote"),
    ),
    ("the challenger becomes champion", ("model validate", *["model approve"] * len(KEYS), "model promote")),
    ("and the champion before it again", ("model rollback",)),
    (f"it travels to the node of {INSTITUTION}, which scores its companies", ("model publish", "node score")),
    ("the history is verified", ("model history",)),
)
STARTS = ("gateway, SuperLink and SuperExec of a consortium", f"a node of {INSTITUTION}", "a scoring service")


def plan(folder: Path | None) -> dict[str, Any]:
    """What the demo would read, compute, start and write. Everything stays on this machine; no row is real."""
    where = str(folder.resolve()) if folder else "a new folder for temporary files, removed at the end"
    return {
        "dry_run": True,
        "model": MODEL,
        "study": STUDY,
        "officers": list(OFFICERS),
        "reads": [],
        "computes": [{"step": step, "commands": list(commands)} for step, commands in STEPS],
        "starts": list(STARTS),
        "writes": [where],
        "is_kept": folder is not None,
    }


def lines(told: dict[str, Any]) -> list[str]:
    """The plan for people."""
    return [
        "would read     nothing of yours: companies are synthetic",
        *(f"would do       {one['step']}: {', '.join(one['commands'])}" for one in told["computes"]),
        *(f"would start    {one}, on 127.0.0.1" for one in told["starts"]),
        *(f"would write    {one}" for one in told["writes"]),
    ]
