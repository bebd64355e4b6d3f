"""A node dies before, in and after training: the run goes on, and the node is back in it or in the next."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.consortium.breaking import (
    after_round,
    held_in_training,
    is_alive,
    is_asked,
    kill,
    kill_node,
    long_task,
    mended,
    until,
    verify_every_node,
    wait_in_training,
)
from tests.consortium.world import NAMES, World

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def whole(world: World) -> Iterator[None]:
    """Whatever a test breaks here is mended at its end."""
    with mended(world):
        yield


def test_node_killed_before_a_run_restarts_at_once_and_takes_part(world: World) -> None:
    # Within Flower's heartbeat minute its own node would leave with exit code 305.
    kill_node(world, "bank-b")
    world.processes.start_node("bank-b")
    done = world.conduct(world.order(rounds=1))
    assert done.state.history[0].institutions == list(NAMES)


def test_node_killed_in_training_is_missed_for_one_round_and_is_back_in_the_next(world: World) -> None:
    worker = world.processes.status("bank-b")["worker_pid"]

    def kill_in_training() -> None:
        with held_in_training(world, "bank-b"):
            kill_node(world, "bank-b")
        until(lambda: not is_alive(worker), seconds=10)  # it does not train on beside the next one
        world.processes.start_node("bank-b")

    done = world.conduct(world.order(long_task(), rounds=5, quorum=3), on_round=after_round(1, kill_in_training))
    hurt = [record for record in done.state.history if "bank-b" not in record.institutions]
    # The new process signs the old one off, then owns up by `node`; looked at in between, the SuperLink answers by 5.
    assert [record.quarantined for record in hurt] in ([{"bank-b": "error-node"}], [{"bank-b": "error-5"}])
    assert done.state.history[-1].institutions == list(NAMES)
    verify_every_node(world)


def test_run_goes_on_without_a_node_that_stays_away_and_the_next_run_has_it_again(world: World) -> None:
    order = world.order(long_task(), rounds=4, quorum=3, deadline_seconds=12.0)
    done = world.conduct(order, on_round=after_round(1, lambda: kill_node(world, "bank-c")))
    assert done.state.round == 4
    assert done.state.history[-1].institutions == ["bank-a", "bank-b", "bank-d"]
    world.processes.start_node("bank-c")
    world.processes.wait_online(["bank-c"])
    again = world.conduct(world.order(rounds=1))
    assert again.state.history[0].institutions == list(NAMES)
    verify_every_node(world)


def test_update_of_a_node_that_is_killed_after_training_counts(world: World) -> None:
    slow = world.processes.status("bank-a")["worker_pid"]

    def kill_after_training() -> None:
        wait_in_training(world, "bank-d")
        os.kill(slow, signal.SIGSTOP)  # so that the round is still on when bank-d has answered
        try:
            until(lambda: not is_asked(world, "bank-d"))
            kill_node(world, "bank-d")
        finally:
            os.kill(slow, signal.SIGCONT)
        world.processes.start_node("bank-d")

    done = world.conduct(world.order(long_task(), rounds=3, quorum=3), on_round=after_round(1, kill_after_training))
    assert done.state.history[1].institutions == list(NAMES)
    verify_every_node(world)


def test_killed_worker_is_a_code_on_the_wire_and_another_one_answers_in_the_next_round(world: World) -> None:
    before = world.processes.status("bank-b")

    def kill_worker() -> None:
        with held_in_training(world, "bank-b"):
            kill(before["worker_pid"])

    done = world.conduct(world.order(long_task(), rounds=4, quorum=3), on_round=after_round(1, kill_worker))
    hurt = [record for record in done.state.history if "bank-b" not in record.institutions]
    assert [record.quarantined for record in hurt] == [{"bank-b": "error-worker"}]
    assert done.state.history[-1].institutions == list(NAMES)
    after = world.processes.status("bank-b")
    assert after["pid"] == before["pid"]
    assert after["worker_pid"] != before["worker_pid"]
    assert after["worker_restarts"] == before["worker_restarts"] + 1
    verify_every_node(world)
