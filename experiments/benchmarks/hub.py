"""The data hub's figures on this machine: ingest, windows, indicators, refresh, and what the economy can tell.

python -m experiments.benchmarks.hub --json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks import economy, indicators, ingest
from experiments.machine import commit, machine
from fedcredit.errors import FedCreditError

PARTS = ("ingest", "indicators", "economy", "null")


def measure(parts: Sequence[str], *, companies: int, learners: int, folder: Path) -> dict[str, Any]:
    """The figures of the chosen parts; each works in a folder of its own that is gone afterwards."""
    steps: dict[str, Callable[[Path], dict[str, Any]]] = {
        "ingest": ingest.measure,
        "indicators": lambda place: indicators.measure(place, companies=companies),
        "economy": lambda place: economy.economy_aucs(place, companies=learners),
        "null": lambda place: economy.null_auc(place, companies=2 * learners),
    }
    found: dict[str, Any] = {}
    for part in parts:
        place = folder / part
        place.mkdir()
        found |= steps[part](place)
        sys.stderr.write(f"{part}: done\n")
        shutil.rmtree(place, ignore_errors=True)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one object; the story goes to stderr."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.hub", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part; may be given several times")
    parser.add_argument("--companies", type=int, default=120_000, help="of the indicators")
    parser.add_argument("--learners", type=int, default=20_000, help="companies that an LSTM learns from")
    parser.add_argument("--folder", type=Path, help="where to work; some 10 GB, else the system's temporary folder")
    asked = parser.parse_args(arguments)
    try:
        with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory(dir=asked.folder) as name:
            found = measure(asked.part or PARTS, companies=asked.companies, learners=asked.learners, folder=Path(name))
    except FedCreditError as fault:
        sys.stderr.write(f"error: {fault}\n")
        sys.exit(fault.exit_code)
    whence = {"repeats": ingest.REPEATS, "torch_threads": economy.THREADS, "machine": machine(), "commit": commit()}
    sys.stdout.write(json.dumps({**found, **whence}, indent=None if asked.json else 1) + "\n")


if __name__ == "__main__":
    main()
