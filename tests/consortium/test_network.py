"""The way between a node and the gateway is slow, or breaks for a while: the node waits, and comes back by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from clients.facts import set_facts
from fedcredit.link.relay import Relay
from tests.consortium.breaking import after_round, held_in_training, long_task, mended
from tests.consortium.proxy import Proxy
from tests.consortium.world import NAMES, World

pytestmark = pytest.mark.slow
CUT_SECONDS = 5.0
SPACE, HOST_END, NODE_END = "fedcredit-test", "fedcredit-h", "fedcredit-n"
HOST_ADDRESS, NODE_ADDRESS = "10.213.77.1", "10.213.77.2"


@contextmanager
def through(world: World, proxy: Proxy, *, before: tuple[str, ...] = ()) -> Iterator[None]:
    """bank-a's node dials through the proxy, as long as the block lasts; `before` stands before its command."""
    node = world.founded.nodes["bank-a"]
    facts = node.facts.read_bytes()
    with mended(world):
        world.processes.stop("bank-a")
        set_facts(node, proxy=proxy.url)
        try:
            world.processes.start_node("bank-a", before=before)
            world.processes.wait_online(["bank-a"])
            yield
        finally:
            node.facts.write_bytes(facts)
            world.processes.stop("bank-a")


def gateway_of(world: World) -> tuple[str, int]:
    """Where the gateway listens."""
    host, _, port = world.operator.facts.gateway.rpartition(":")
    return host, int(port)


def test_node_takes_part_over_a_link_of_three_hundred_milliseconds(world: World) -> None:
    with Relay(gateway_of(world), delay_seconds=0.15) as relay, Proxy(relay.address) as proxy:  # each way
        with through(world, proxy):
            done = world.conduct(world.order(rounds=2))
        assert relay.handshakes[0].negotiated().name == "X25519MLKEM768"
    assert [record.institutions for record in done.state.history] == [list(NAMES)] * 2


def test_link_that_is_cut_in_training_loses_no_update(world: World) -> None:
    with Relay(gateway_of(world)) as relay, Proxy(relay.address) as proxy, through(world, proxy):

        def cut() -> None:
            with held_in_training(world, "bank-a"):
                relay.cut()
                threading.Timer(CUT_SECONDS, relay.mend).start()

        done = world.conduct(world.order(long_task(), rounds=3), on_round=after_round(1, cut))
    assert [record.institutions for record in done.state.history] == [list(NAMES)] * 3
    assert max(record.seconds for record in done.state.history[1:]) > CUT_SECONDS / 2


def test_pair_of_hosts_whose_link_goes_down_in_training_loses_no_update(world: World) -> None:
    def unplug() -> None:
        with held_in_training(world, "bank-a"):
            ip("link", "set", HOST_END, "down")
        time.sleep(CUT_SECONDS)
        ip("link", "set", HOST_END, "up")

    there = ("ip", "netns", "exec", SPACE)
    with two_hosts(), Proxy(gateway_of(world), host=HOST_ADDRESS) as proxy, through(world, proxy, before=there):
        done = world.conduct(world.order(long_task(), rounds=3), on_round=after_round(1, unplug))
    assert [record.institutions for record in done.state.history] == [list(NAMES)] * 3
    assert max(record.seconds for record in done.state.history[1:]) > CUT_SECONDS / 2


def ip(*words: str) -> None:
    """One command of iproute2."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def two_hosts() -> Iterator[None]:
    """A network of its own for the node, and a cable from it to this host."""
    reason = why_not()
    if reason:
        if os.environ.get("FEDCREDIT_CI") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    try:
        ip("link", "add", HOST_END, "type", "veth", "peer", "name", NODE_END, "netns", SPACE)
        ip("address", "add", f"{HOST_ADDRESS}/30", "dev", HOST_END)
        ip("link", "set", HOST_END, "up")
        ip("-n", SPACE, "address", "add", f"{NODE_ADDRESS}/30", "dev", NODE_END)
        ip("-n", SPACE, "link", "set", NODE_END, "up")
        ip("-n", SPACE, "link", "set", "lo", "up")
        yield
    finally:
        ip("netns", "delete", SPACE)  # and the cable with it


def why_not() -> str:
    """Why there cannot be a second network here, or nothing; there is one if there can be."""
    if shutil.which("ip") is None:
        return "no iproute2: the link between two hosts is tested by the relay only"
    subprocess.run(["ip", "netns", "delete", SPACE], check=False, capture_output=True)  # of a test that was killed
    found = subprocess.run(["ip", "netns", "add", SPACE], check=False, capture_output=True, text=True)
    return f"no network namespaces here ({found.stderr.strip()})" if found.returncode else ""
