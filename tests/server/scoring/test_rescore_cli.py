"""`model rescore` and `model freshness` over a real hub: results on stdout, refusals in two lines, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fedcredit.errors import ConfigError, FedCreditError, ModelError, TableError
from server.cli import model
from server.metrics import collect
from server.scoring.book import BookError, ScoreBook
from server.scoring.places import BOOK, RECORD
from tests.server.promotion.world import found
from tests.server.scoring.test_rescore import COUNT, NOON, World, world
from tests.server.scoring.test_sixty_days import promote

__all__ = ["world"]  # the fixture
NAME = "fedcredit-hub"


@pytest.fixture
def runs(world: World, tmp_path: Path) -> Path:
    """A hub in HUB/, and the desk of a model whose champion learnt from it."""
    (tmp_path / "hub").mkdir()
    shutil.copy(world.hub, tmp_path / "hub" / "events.duckdb")
    found(tmp_path / "runs" / "models" / NAME).promote(world.table.parent / "table" / "bundle-1")
    return tmp_path / "runs"


def invoke(*words: object, runs: Path) -> Result:
    return CliRunner().invoke(model, [*(str(word) for word in words), "--runs", str(runs)])


def rescore(runs: Path, *words: object) -> Any:
    done = invoke("rescore", NAME, "--hub", runs.parent / "hub", "--json", *words, runs=runs)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return json.loads(done.stdout)


def test_a_run_scores_and_freshness_and_the_metrics_say_the_same(runs: Path) -> None:
    now = datetime.now(UTC)
    done = rescore(runs, "--as-of", "2024-12-20T12:00:00")
    assert done["scored"] == done["due"] == done["freshness"]["live"] > COUNT // 2
    assert rescore(runs, "--as-of", "2024-12-20T12:00:00")["due"] == 0
    found = invoke("freshness", NAME, "--json", runs=runs)
    said = json.loads(found.stdout)
    assert found.exit_code == 1  # of that day, and so long stale
    assert (said["live"], said["fresh"], said["last_run"]["state"]) == (done["scored"], 0, "done")
    told = {
        sample.name: sample.value
        for family in collect(runs, runs=runs, now=now)
        for sample in family.samples
        if sample.labels.get("model") == NAME
    }
    assert told["fedcredit_platform_scores_fresh_share"] == 0.0
    assert told["fedcredit_platform_scores_live"] == done["scored"]
    assert told["fedcredit_platform_scores_oldest_seconds"] > 72 * 3600
    assert told["fedcredit_platform_scores_rescored_timestamp_seconds"] == NOON.replace(tzinfo=UTC).timestamp()
    assert "stale" in invoke("freshness", NAME, runs=runs).stdout


def test_a_run_says_how_many_have_reasons_and_why_others_have_none(runs: Path) -> None:
    words = ("rescore", NAME, "--hub", runs.parent / "hub", "--as-of", "2024-12-20T12:00:00")
    assert "0 with reasons" in (plain := invoke(*words, "--no-reasons", runs=runs).stdout)
    assert "none were asked for" in plain
    done = rescore(runs, "--as-of", "2024-12-22T12:00:00")
    assert done["explained"] == done["scored"] > 0
    assert done["no_reasons"] == ""


def test_a_timer_that_comes_early_leaves_at_once(runs: Path) -> None:
    soon = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    rescore(runs, "--as-of", soon)
    assert list(rescore(runs, "--if-due")) == ["due", "scored"]
    assert "not due before" in invoke("rescore", NAME, "--hub", runs, "--if-due", runs=runs).stdout
    assert rescore(runs, "--if-due", "--every-hours", "0", "--as-of", soon)["due"] == 0


def test_a_delivery_that_cannot_be_taken_in_is_exit_code_1_and_said(runs: Path, tmp_path: Path) -> None:
    rescore(runs, "--as-of", "2024-12-20T12:00:00")
    (tmp_path / "news").mkdir()
    (tmp_path / "news" / "power.csv").write_text("nonsense\n1\n")
    words = ("--hub", runs.parent / "hub", "--add", tmp_path / "news", "--as-of", "2024-12-25")
    done = invoke("rescore", NAME, *words, runs=runs)
    assert done.exit_code == 1
    assert "power.csv" in done.stderr
    assert json.loads((runs / "models" / NAME / RECORD).read_text())["state"] == "failed"
    with ScoreBook(runs / "models" / NAME / BOOK) as book:
        assert book.freshness(NOON).share == 1.0  # of the moment that they speak of


@pytest.mark.parametrize(
    ("words", "kind", "found"),
    [
        (("rescore", "nobody", "--hub", "HUB"), ModelError, "no champion"),
        (("rescore", "../x", "--hub", "HUB"), ConfigError, "the name of a registered model"),
        (("rescore", NAME, "--hub", "nowhere"), TableError, "no events.duckdb"),
        (("rescore", NAME, "--hub", "HUB", "--as-of", "soon"), ConfigError, "a day such as"),
        (("freshness", "nobody"), BookError, "unable to open"),
    ],
)
def test_refusals_say_what_would_be_right(runs: Path, words: tuple[str, ...], kind: type, found: str) -> None:
    said = [str(runs.parent / "hub") if word == "HUB" else word for word in words]
    done = invoke(*said, runs=runs)
    assert isinstance(done.exception, kind)
    assert isinstance(done.exception, FedCreditError)
    assert found in str(done.exception)


def test_a_champion_of_other_columns_is_refused(runs: Path) -> None:
    promote(runs / "models" / "fedcredit-loans", seed=1)
    done = invoke("rescore", "fedcredit-loans", "--hub", runs.parent / "hub", runs=runs)
    assert isinstance(done.exception, ModelError)
    assert "no hub has" in str(done.exception)


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_what_the_next_one_finishes(runs: Path) -> None:
    words = [sys.executable, "-m", "fedcredit", "model", "rescore", NAME, "--hub", str(runs.parent / "hub")]
    words += ["--runs", str(runs), "--as-of", "2024-12-20T12:00:00"]
    process = subprocess.Popen(words, env={**os.environ}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    give_up = time.monotonic() + 120
    while not (runs / "models" / NAME / RECORD).exists() and time.monotonic() < give_up:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = rescore(runs, "--as-of", "2024-12-20T12:00:00")
    assert done["freshness"]["share"] == 1.0 or done["freshness"]["fresh"] == 0
    with ScoreBook(runs / "models" / NAME / BOOK) as book:
        assert book.freshness(NOON).share == 1.0
