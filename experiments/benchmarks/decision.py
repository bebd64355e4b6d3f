"""What a decision costs and whether it holds: calibration, tests, speed of scores and reasons, serving, regions.

python -m experiments.benchmarks.decision --json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from experiments.benchmarks import additive, calibration, scoring, serving
from experiments.cross_region import run as cross_region
from experiments.machine import commit, machine

PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "serving": serving.figures,  # first, while the machine is cool: it measures milliseconds
    "scoring": scoring.figures,
    "additive": additive.figures,
    "calibration": calibration.figures,
    "regions": cross_region.figures,
}


def measure(parts: Sequence[str]) -> dict[str, Any]:
    """The figures of decision.md, each part one after the other; the story goes to stderr."""
    found: dict[str, Any] = {}
    for name in parts:
        began = time.perf_counter()
        sys.stderr.write(f"{name} ...\n")
        figures = PARTS[name]()
        found |= figures
        sys.stderr.write(f"  {time.perf_counter() - began:.0f} s: {json.dumps(figures)}\n")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one object."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.decision", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="only this; may be given again")
    asked = parser.parse_args(arguments)
    about = {"repeats": 1, "torch_threads": 1, "machine": machine(), "commit": commit()}
    found = measure(asked.part or list(PARTS)) | about
    sys.stdout.write(json.dumps(found, indent=None if asked.json else 1) + "\n")


if __name__ == "__main__":
    main()
