"""A real InfluxDB for the tests of this folder: the one that the environment names, or one of their own."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from experiments.benchmarks.influx import ADDRESS, running
from fedcredit.data.store.duck import DuckStore
from fedcredit.data.store.influx import InfluxStore
from fedcredit.data.store.store import EventStore


@pytest.fixture(scope="session")
def influx_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where InfluxDB listens."""
    if url := os.environ.get(ADDRESS):
        yield url
        return
    if shutil.which("influxd") is None:
        if os.environ.get("FEDCREDIT_CI"):
            pytest.fail("no influxd here")
        pytest.skip("no influxd here")
    with running(tmp_path_factory.mktemp("influxd")) as url:
        yield url


@pytest.fixture
def influx(influx_url: str) -> Iterator[InfluxStore]:
    """A store over a database that is empty."""
    with InfluxStore(influx_url, database=f"test {uuid.uuid4()}") as store:
        yield store


@pytest.fixture(params=["duck", "influx"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventStore]:
    """Each of the stores in turn."""
    opens: dict[str, Callable[[], EventStore]] = {
        "duck": lambda: DuckStore(tmp_path / "hub.duckdb"),
        "influx": lambda: request.getfixturevalue("influx"),
    }
    with opens[request.param]() as store:
        yield store
