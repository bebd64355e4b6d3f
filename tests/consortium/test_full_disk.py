"""A node's disk is full: the platform hears a code, nothing is lost, and with room again the node takes part."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from fedcredit.errors import FederationError
from fedcredit.federation.checkpoint import RoundRecord
from tests.consortium.breaking import long_task, mended, verify_every_node, wait_in_training
from tests.consortium.test_private_kills import private
from tests.consortium.world import NAMES, World

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def whole(world: World) -> Iterator[None]:
    """Whatever a test breaks here is mended at its end."""
    with mended(world):
        yield


def give_room(pid: int, most: int = resource.RLIM_INFINITY) -> None:
    """From now on a running process can write no file beyond so many bytes: as on a full disk, each write fails."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, hard))


@pytest.mark.parametrize("which", ["worker_pid", "pid"])
def test_node_with_a_full_disk_answers_with_a_code_and_is_good_again_with_room(world: World, which: str) -> None:
    pid = world.processes.status("bank-b")[which]

    is_full, has_room = list[int](), list[int]()

    def fill(record: RoundRecord) -> None:
        if not is_full:
            wait_in_training(world, "bank-a")  # some round is under way; from the next write on the disk is full
            give_room(pid, 1)
            is_full.append(record.round)
        elif not has_room and (record.quarantined or record.round >= is_full[0] + 4):
            give_room(pid)
            has_room.append(record.round)

    try:
        done = world.conduct(world.order(long_task(0.3), rounds=12, quorum=3, deadline_seconds=15.0), on_round=fill)
    finally:
        give_room(pid)
    codes = {record.quarantined["bank-b"] for record in done.state.history if "bank-b" in record.quarantined}
    assert codes <= {"error-audit", "error-node", "error-internal"}
    assert codes
    assert done.state.history[-1].institutions == list(NAMES)
    verify_every_node(world)


def test_full_disk_under_privacy_spends_nothing_that_is_not_written(world: World) -> None:
    pid = world.processes.status("bank-b")["worker_pid"]
    give_room(pid, 1)
    try:
        with pytest.raises(FederationError, match="round 1: found 0 good replies"):  # four are the smallest sum
            world.conduct(world.order(private(), rounds=2, quorum=3))
    finally:
        give_room(pid)
    verify_every_node(world)
    again = world.conduct(world.order(private(), rounds=1, deadline_seconds=200.0))
    assert again.state.history[-1].institutions == list(NAMES)
    verify_every_node(world)
