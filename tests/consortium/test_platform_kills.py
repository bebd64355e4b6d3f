"""Coordinator, SuperLink, gateway or the whole platform die: the study goes on at the next round, to the same bits."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from server.app import Conducted, Order
from server.orders import DeployedOrder
from tests.consortium.breaking import (
    after_round,
    held_in_training,
    is_started_again,
    kill,
    long_task,
    mended,
    status_of,
    story_of,
    tunnel_pid,
    until,
    verify_every_node,
)
from tests.consortium.test_rounds import in_process
from tests.consortium.world import NAMES, World

pytestmark = pytest.mark.slow
RECOVERY_SECONDS = 30.0


@pytest.fixture(autouse=True)
def whole(world: World) -> Iterator[None]:
    """Whatever a test breaks here is mended at its end."""
    with mended(world):
        yield


@pytest.fixture(scope="module")
def uninterrupted(world: World, tmp_path_factory: pytest.TempPathFactory) -> Conducted:
    """What five plain rounds come to when nothing dies."""
    order = five_rounds(world)
    return in_process(Order(order.task, order.plan, order.strategy), tmp_path_factory.mktemp("here"))


def five_rounds(world: World) -> DeployedOrder:
    """Long ones, so that an operator hears of the second before the last is over."""
    return world.order(long_task(1.0), rounds=5)


def require_same(there: Conducted, here: Conducted) -> None:
    """Five rounds of all four, and the same bits."""
    assert [record.round for record in there.state.history] == [1, 2, 3, 4, 5]
    assert all(record.institutions == list(NAMES) for record in there.state.history)
    for name, values in here.state.arrays.items():
        np.testing.assert_array_equal(there.state.arrays[name], values)


def seconds_cut(world: World, order: DeployedOrder, *, since: datetime) -> float:
    """From a moment to the first round that another coordinator has done."""
    story = story_of(world, order)
    first = story[0][1]["flower_run"]
    moments = [at for at, said in story if said["flower_run"] != first and said["state"] == "running"]
    return (datetime.fromisoformat(moments[0]) - since).total_seconds()


def test_killed_coordinator_is_followed_by_another_that_ends_with_the_same_bits(
    world: World, uninterrupted: Conducted
) -> None:
    order, at = five_rounds(world), []

    def kill_coordinator() -> None:
        kill(status_of(world, order)["pid"])
        at.append(datetime.now().astimezone())

    there = world.conduct(order, on_round=after_round(2, kill_coordinator))
    require_same(there, uninterrupted)
    seconds = seconds_cut(world, order, since=at[0])
    print(f"a killed coordinator: the next round was done {seconds:.1f} s later")  # noqa: T201
    assert seconds <= RECOVERY_SECONDS


def test_coordinator_killed_after_its_last_round_still_brings_the_result(
    world: World, uninterrupted: Conducted
) -> None:
    order = five_rounds(world)

    def kill_coordinator() -> None:
        said = until(lambda: status_of(world, order))
        if said["state"] != "succeeded":
            with contextlib.suppress(ProcessLookupError):  # it may be faster than we are
                kill(said["pid"])

    require_same(world.conduct(order, on_round=after_round(5, kill_coordinator)), uninterrupted)


def test_killed_superlink_is_started_again_and_the_run_goes_on(world: World, uninterrupted: Conducted) -> None:
    def kill_superlink() -> None:
        with held_in_training(world, *NAMES):
            kill(world.processes.platform_pids()["superlink"])

    require_same(world.conduct(five_rounds(world), on_round=after_round(2, kill_superlink)), uninterrupted)


def test_killed_superexec_is_started_again_and_another_coordinator_goes_on(
    world: World, uninterrupted: Conducted
) -> None:
    order = five_rounds(world)
    there = world.conduct(order, on_round=after_round(2, lambda: kill(world.processes.platform_pids()["superexec"])))
    require_same(there, uninterrupted)


def test_killed_caddy_of_gateway_or_tunnel_is_back_by_itself_and_no_round_is_lost(
    world: World, uninterrupted: Conducted
) -> None:
    gateway = world.founded.consortium.places.folder / "run" / "gateway"
    tunnels = [home.run / "tunnel" for home in world.founded.nodes.values()]
    killed: dict[Path, int] = {}

    def kill_them(folders: list[Path]) -> None:
        with held_in_training(world, *NAMES):
            for folder in folders:
                killed[folder] = tunnel_pid(folder)
                kill(killed[folder])

    steps = [after_round(1, lambda: kill_them(tunnels)), after_round(2, lambda: kill_them([gateway]))]
    done = world.conduct(five_rounds(world), on_round=lambda record: steps[record.round > 1](record))
    require_same(done, uninterrupted)
    assert set(killed) == {gateway, *tunnels}
    assert all(tunnel_pid(folder) != pid for folder, pid in killed.items())


def test_killed_keeper_of_the_platform_is_started_again_over_what_it_left_running(
    world: World, uninterrupted: Conducted
) -> None:
    before = world.processes.platform_pids()

    def kill_keeper() -> None:
        with held_in_training(world, *NAMES):
            world.processes.stop("platform", sign=signal.SIGKILL)
            world.processes.start_platform()
            until(lambda: is_started_again(world, before))

    order = five_rounds(world)
    require_same(world.conduct(order, on_round=after_round(2, kill_keeper)), uninterrupted)
    after = world.processes.platform_pids()
    assert set(before.values()).isdisjoint(after.values())
    verify_every_node(world)
