"""`fedcredit model demo`: the way of a model from a study to a grade at an institution, as a program of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer


def demo(
    folder: Annotated[Path | None, typer.Option(help="Keep everything there; else a folder that goes.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do; do none of it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """The whole way on this machine: study, validate, promote, score, challenge, refuse, roll back, score at a node.

    Each step is told with the command that a person would type; with --folder they can be typed again there, after
    `export FEDCREDIT_HOME=$PWD`. Companies are synthetic.
    """
    words = ["--folder", str(folder)] if folder else []
    words += ["--dry-run"] if dry_run else []
    words += ["--json"] if as_json else []
    # It stands for both sides, so it is a program of its own: neither side imports the other.
    os.execv(sys.executable, [sys.executable, "-m", "experiments.decision", *words])  # noqa: S606 - who stops it, stops it all
