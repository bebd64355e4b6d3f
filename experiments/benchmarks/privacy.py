"""What the privacy core costs on this machine: the DP kernel, the masks, and a secure round.

python -m experiments.benchmarks.privacy --json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from experiments.benchmarks import kernel, masking, secure_round
from experiments.machine import commit, machine

REPEATS = 9


def measure(*, repeats: int = REPEATS) -> dict[str, Any]:
    """All figures of privacy.md, each part one after the other."""
    found: dict[str, Any] = {}
    sys.stderr.write("kernel: a step of private training\n")
    found |= kernel.measure(repeats=repeats)
    sys.stderr.write("masking: 42 institutions, 100,000 parameters, 4 dropouts\n")
    found["mask_gb_per_s"] = masking.mask_gb_per_s()
    found |= masking.figures(institutions=42, size=100_000, dropouts=4, repeats=repeats)
    sys.stderr.write("a secure round beside the same in the open\n")
    found |= secure_round.measure(repeats=repeats)
    return {**found, "repeats": repeats, "torch_threads": 1, "machine": machine(), "commit": commit()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one object; the story goes to stderr."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.privacy", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    asked = parser.parse_args(arguments)
    found = measure(repeats=asked.repeats)
    sys.stdout.write(json.dumps(found, indent=None if asked.json else 1) + "\n")


if __name__ == "__main__":
    main()
