"""The event store becomes figures: rows, points and HTTP events a second, how long a request and a window take.

python -m experiments.benchmarks.ingest
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import environ
from pathlib import Path
from statistics import median
from typing import Any

from experiments.benchmarks import influx, store

REPEATS = 5
SECONDS_TO_STOP = 60


def measure(folder: Path) -> dict[str, Any]:
    """All figures of ingest; each the median of five. Without an InfluxDB on this machine its figure is null."""
    has_influx = influx.ADDRESS in environ or shutil.which("influxd") is not None
    points = influx.measure(folder) if has_influx else {"influx_points_per_s": None}
    return {**store.measure(folder), **points, **http(folder)}


def http(folder: Path) -> dict[str, Any]:
    """Events a second over 64 connections of 100 events a request, and what 99 of 100 requests and reads wait at most.

    A repeat has a fresh store and a fresh server, and sends from a process of its own on the same cores.
    """
    found = []
    for seed in range(REPEATS):
        with serving(folder / f"http-{seed}.duckdb") as port:
            command = ["-m", "experiments.benchmarks.load", "--port", str(port), "--seed", str(seed)]
            said = subprocess.run([sys.executable, *command], check=True, capture_output=True, text=True)
            found.append(json.loads(said.stdout))
    names = {"http_events_per_s": "events_per_s", "http_p99_ms": "p99_ms", "http_read_p99_ms": "read_p99_ms"}
    return {name: round(median(one[key] for one in found)) for name, key in names.items()}


@contextmanager
def serving(path: Path) -> Iterator[int]:
    """The port of a `fedcredit serve ingest` over a store, which is told to stop when the block ends."""
    command = [sys.executable, "-m", "fedcredit", "serve", "ingest", "--store", str(path), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        if server.stdout is None:
            raise AssertionError("a pipe was asked for")
        try:
            yield int(json.loads(server.stdout.readline())["listening"].rsplit(":", 1)[1])
        finally:
            server.terminate()
            server.wait(timeout=SECONDS_TO_STOP)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        sys.stdout.write(json.dumps(measure(Path(name)), indent=1) + "\n")
