"""A consortium that runs changes its X.509 authority: from the new one's first day to the old one's last, and on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from clients.request import make_request
from experiments.demo.found import accept, sign
from server.consortium.approve import approval, read_requests
from server.consortium.operator import join
from server.consortium.operator import make_request as operator_request
from server.consortium.rotate import other_authority
from tests.consortium.breaking import is_started_again, until
from tests.consortium.world import NAMES, World, world_in

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One of its own: its authority is another one afterwards."""
    with world_in(tmp_path_factory.mktemp("authority")) as found:
        yield found


def change_authority(world: World, *, finish: bool) -> None:
    consortium = world.founded.consortium
    sign(consortium, other_authority(consortium, finish=finish, now=datetime.now(UTC)))


def renew_members(world: World) -> None:
    """New certificates for all members and the operator, for the keys that they have; every node is started again."""
    consortium, now = world.founded.consortium, datetime.now(UTC)
    nodes = world.founded.nodes
    asked = [make_request(node, institution=name) for name, node in nodes.items()]
    made = approval(consortium, read_requests(asked, role="institution"), now=now, replaces=True)
    answers = dict(sign(consortium, made.change).answers)
    made = approval(
        consortium,
        read_requests([operator_request("operator")], role="operator"),
        now=now,
        replaces=True,
    )
    answer = sign(consortium, made.change).answers["operator"].read_bytes()
    fingerprint = consortium.current().root_fingerprint
    join(answer, fingerprint=fingerprint, now=now)
    for name, node in nodes.items():
        world.processes.stop(name)
        accept(node, answers[name].read_bytes(), fingerprint=fingerprint)
        world.processes.start_node(name)
    world.processes.wait_online()


def test_a_change_of_authority_ends_with_everybody_online_under_the_new_one(world: World) -> None:
    consortium = world.founded.consortium
    old, before = consortium.authority().pem, world.processes.platform_pids()
    change_authority(world, finish=False)
    new = consortium.authority().pem
    assert new != old
    renew_members(world)
    assert world.conduct(world.order(rounds=1)).state.history[0].institutions == list(NAMES)
    assert world.processes.platform_pids() == before

    change_authority(world, finish=True)
    until(lambda: is_started_again(world, before), seconds=120.0)
    world.processes.stop("bank-a")  # one that comes back after the change; the others have seen it through
    world.processes.start_node("bank-a")
    world.processes.wait_online(["bank-a"])
    assert world.founded.nodes["bank-a"].authority.read_text() == new
    assert world.conduct(world.order(rounds=1)).state.history[0].institutions == list(NAMES)
    assert (world.operator.folder / "ca.crt").read_text() == new
