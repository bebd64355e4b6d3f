"""The registry's aliases follow the desk, against a real MLflow: later where it is down, and never before the desk."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.promotion.aliases import AliasesLag, follow_aliases
from server.promotion.rollback import rollback
from server.promotion.standby import stand_by
from tests.server.promotion.world import NAME, World, found

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty registry: a new one takes MLflow some seconds."""
    from fedcredit.registry import Registry

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        runs = tmp_path_factory.mktemp("registry")
        Registry(runs)
        yield runs / "mlflow.db"


@pytest.fixture
def runs(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(name, "1")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mlflow.db").write_bytes(template.read_bytes())
    return tmp_path / "runs"


@pytest.fixture
def world(runs: Path) -> World:
    return found(runs / "models" / NAME)


def client(runs: Path) -> Any:
    from fedcredit.registry import Registry

    return Registry(runs).client


def registered(runs: Path, *sha256s: str) -> None:
    """Versions 1, 2, ... of the model, as a study registers them but for the weights."""
    mlflow = client(runs)
    mlflow.create_registered_model(NAME)
    for sha256 in sha256s:
        mlflow.create_model_version(NAME, source=f"file:///{sha256}", tags={"bundle_sha256": sha256})


def aliases(runs: Path) -> dict[str, int]:
    known = client(runs).get_registered_model(NAME).aliases
    return {alias: int(version) for alias, version in known.items()}


def test_aliases_follow_promotion_challenge_and_rollback(world: World, runs: Path) -> None:
    one, two, three = (world.bundle(bias=bias) for bias in (0.1, 0.2, 0.3))
    registered(runs, *(world.keep(folder) for folder in (one, two, three)))
    world.promote(one)
    assert follow_aliases(world.desk, runs=runs) == ["champion"]
    world.promote(two)
    stand_by(world.desk, "challenger", world.keep(three))
    follow_aliases(world.desk, runs=runs)
    assert aliases(runs) == {"champion": 2, "challenger": 3}
    rollback(world.desk, reason="bad")
    stand_by(world.desk, "challenger", None)
    assert follow_aliases(world.desk, runs=runs) == ["champion", "challenger"]
    assert aliases(runs) == {"champion": 1}
    assert follow_aliases(world.desk, runs=runs) == [], "once"


def test_champion_that_was_never_registered_leaves_no_alias_on_another(world: World, runs: Path) -> None:
    one = world.bundle(bias=0.1)
    registered(runs, world.keep(one))
    world.promote(one)
    follow_aliases(world.desk, runs=runs)
    world.promote(world.bundle(bias=0.2))
    assert follow_aliases(world.desk, runs=runs) == ["champion"]
    assert aliases(runs) == {}


def test_promotion_goes_on_while_the_registry_is_down_and_aliases_are_mended_later(
    world: World, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = world.bundle(bias=0.1), world.bundle(bias=0.2)
    registered(runs, world.keep(one), world.keep(two))
    world.promote(one)
    follow_aliases(world.desk, runs=runs)
    with socket.socket() as free, monkeypatch.context() as patch:
        free.bind(("127.0.0.1", 0))
        patch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free.getsockname()[1]}")
        second = world.promote(two)
        with pytest.raises(AliasesLag, match="nothing is lost"):
            follow_aliases(world.desk, runs=runs)
        assert world.desk.champion() == second
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    assert aliases(runs) == {"champion": 1}
    assert follow_aliases(world.desk, runs=runs) == ["champion"]
    assert aliases(runs) == {"champion": 2}


def test_locked_database_of_the_registry_holds_up_the_aliases_only(world: World, runs: Path) -> None:
    one = world.bundle(bias=0.1)
    registered(runs, world.keep(one))
    with sqlite3.connect(runs / "mlflow.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        champion = world.promote(one)
        with pytest.raises(AliasesLag):
            follow_aliases(world.desk, runs=runs)
        assert world.desk.champion() == champion
        other.execute("ROLLBACK")
    other.close()
    assert follow_aliases(world.desk, runs=runs) == ["champion"]


def test_no_registry_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    world = found(tmp_path / "models" / NAME)
    world.promote(world.bundle())
    assert follow_aliases(world.desk, runs=tmp_path) == []
    assert not (tmp_path / "mlflow.db").exists()
