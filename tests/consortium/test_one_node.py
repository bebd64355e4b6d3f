"""Two nodes of one institution: one goes on and the other ends with the reason. A node that is told to stop, stops."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.superlink_files import QUIET
from tests.consortium.breaking import after_round, long_task, mended, until, verify_every_node, wait_in_training
from tests.consortium.world import NAMES, World

pytestmark = pytest.mark.slow
STOP_SECONDS = 10.0


@pytest.fixture(autouse=True)
def whole(world: World) -> Iterator[None]:
    """Whatever a test breaks here is mended at its end."""
    with mended(world):
        yield


def start_of(folder: Path) -> subprocess.CompletedProcess[str]:
    """What a second node in this folder comes to."""
    command = [sys.executable, "-m", "fedcredit", "node", "start", "--home", str(folder), "--foreground"]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **QUIET}
    )


def test_second_node_in_one_folder_is_refused_and_the_first_goes_on(world: World) -> None:
    second = start_of(world.founded.nodes["bank-a"].folder)
    assert second.returncode == 1
    assert "a node that runs" in second.stderr
    assert "Traceback" not in second.stderr
    assert world.processes.is_online("bank-a")


def test_node_of_a_copied_folder_is_refused_and_the_first_goes_on(world: World, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    no_sockets = shutil.ignore_patterns("*.sock", "lock", "locks", "*.draft", ".*")  # nor what is there for a moment
    shutil.copytree(world.founded.nodes["bank-a"].folder, copy, ignore=no_sockets)
    second = start_of(copy)
    assert second.returncode == 1
    assert "another node with this key is online" in second.stderr
    assert "Traceback" not in second.stderr
    assert world.conduct(world.order(rounds=1)).state.history[0].institutions == list(NAMES)


@pytest.mark.parametrize("when", ["at the start", "while it is online"])
def test_node_whose_clock_is_off_by_ten_minutes_ends_and_is_told_why(world: World, when: str) -> None:
    world.processes.stop("bank-a")
    asking = [sys.executable, "-m", "tests.consortium.clock", str(world.founded.nodes["bank-a"].folder), when]
    background = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *asking]  # where a shell has SIGINT ignored
    for command in (asking, background):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=os.environ | QUIET)
        assert "clock" in done.stdout, done.stderr


@pytest.mark.parametrize("state", ["just started", "idle", "in training", "platform away"])
def test_node_that_is_told_to_stop_stops_within_ten_seconds(world: World, state: str) -> None:
    seconds = []

    def stop() -> None:
        began = time.monotonic()
        process = world.processes.processes["bank-a"]
        world.processes.stop("bank-a")
        seconds.append(time.monotonic() - began)
        assert process.returncode in (0, -signal.SIGTERM)

    def stop_in_training() -> None:
        wait_in_training(world, "bank-a")
        stop()

    if state == "just started":
        world.processes.stop("bank-a")
        world.processes.start_node("bank-a")
        until(lambda: world.processes.status("bank-a").get("state") in ("starting", "online"))
        stop()
    elif state == "in training":
        world.conduct(world.order(long_task(2.0), rounds=2, quorum=3), on_round=after_round(1, stop_in_training))
    else:
        if state == "platform away":
            world.processes.stop("platform")
            time.sleep(1.0)
        stop()
    assert max(seconds) < STOP_SECONDS
    verify_every_node(world)
