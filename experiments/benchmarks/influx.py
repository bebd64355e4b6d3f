"""An InfluxDB server of its own becomes one figure: points a second that it takes over one connection."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa

from fedcredit.data.identifiers import uscc
from fedcredit.data.store.influx import InfluxStore

ADDRESS = "FEDCREDIT_INFLUX_URL"  # of a server that runs already
REPEATS = 5
ROWS = 10_000  # a batch
BATCHES = 30
COMPANIES = 10_000
SECONDS_TO_START = 60.0

# Debian's build reads `reporting-enabled`, others `reporting-disabled`; neither minds the other.
SETTINGS = """
reporting-disabled = true
reporting-enabled = false
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
index-version = "tsi1"
query-log-enabled = false
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:{http}"
log-enabled = false
[logging]
level = "warn"
"""


def measure(folder: Path) -> dict[str, Any]:
    """Points a second; of the server that the environment names, or of one that is started here."""
    url = os.environ.get(ADDRESS)
    with nullcontext(url) if url else running(folder) as address:
        return {"influx_points_per_s": round(median(points_per_s(address, seed=seed) for seed in range(REPEATS)))}


def points_per_s(url: str, *, seed: int) -> float:
    """Penalties into a fresh database, through the store: hashed, marked, durable batch by batch."""
    batches = [penalties(seed=1000 * seed + number) for number in range(BATCHES)]
    with InfluxStore(url, database=f"benchmark_{time.time_ns()}") as store:
        began = time.perf_counter()
        for batch in batches:
            store.append("environment", batch)
        return ROWS * BATCHES / (time.perf_counter() - began)


def penalties(*, seed: int) -> pa.Table:
    """Environmental penalties: points of two fields, how severe and when it became known."""
    rng = np.random.default_rng(seed)
    known = np.datetime64("2025-12-01", "us") + rng.integers(0, 30 * 86_400, ROWS).astype("timedelta64[s]")
    empty = {name: pa.nulls(ROWS) for name in ("colour", "emissions_t", "allowance_t")}
    return pa.table(
        {
            "company": pa.array(uscc(990_001, rng.integers(0, COMPANIES, ROWS))),
            "valid_at": pa.array(np.full(ROWS, np.datetime64("2025-11-30"))),
            "known_at": pa.array(known),
            "kind": pa.array(["penalty"] * ROWS),
            "severity": rng.uniform(0, 10, ROWS).round(2),
            **empty,
        }
    )


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The address of an influxd that keeps its files in `folder` until the block ends."""
    url = write_settings(folder)
    command = [shutil.which("influxd") or "influxd", "run", "-config", str(folder / "influxdb.conf")]
    with (
        (folder / "influxd.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as server,
    ):
        try:
            _wait(server, url)
            yield url
        finally:
            server.terminate()


def write_settings(folder: Path) -> str:
    """influxdb.conf of a server that listens on loopback only and reports to nobody; its address. `.ci/run` uses it."""
    rpc, port = _free_ports(2)
    (folder / "influxdb.conf").write_text(SETTINGS.format(folder=folder, rpc=rpc, http=port))
    return f"http://127.0.0.1:{port}"


def _wait(server: subprocess.Popen[bytes], url: str) -> None:
    until = time.monotonic() + SECONDS_TO_START
    while server.poll() is None and time.monotonic() < until:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
        try:
            connection.request("GET", "/ping")
            if connection.getresponse().status == http.client.NO_CONTENT:
                return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise RuntimeError("influxd did not start; its log lies beside its settings")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports
