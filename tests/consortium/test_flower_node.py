"""Flower's own node with our ClientApp answers as ours does; it is only slower."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from clients.facts import read_facts
from server.app import Order
from server.superlink import key_bytes, key_text
from server.superlink_files import QUIET, SuperLinkFiles
from tests.consortium.attacker import superlink_of
from tests.consortium.test_rounds import in_process
from tests.consortium.world import NAMES, World
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PROGRAM = Path(sys.executable).with_name("flower-supernode")
PATIENCE_SECONDS = 180.0  # Flower starts a process for each message


def test_flower_s_own_node_with_our_app_gives_the_same_update(world: World, tmp_path: Path) -> None:
    files = SuperLinkFiles(world.founded.consortium.places.folder)
    home = world.founded.nodes["bank-d"]
    config = read_facts(home).node_config(home)
    member = world.founded.consortium.current().member("bank-d")
    assert member is not None
    world.processes.stop("bank-d")
    command = [
        *(str(PROGRAM), "--superlink", files.address, "--root-certificates", str(files.root)),
        *("--auth-supernode-private-key", str(home.flower), "--port", str(free_port())),
        *("--node-config", " ".join(f"{key}={json.dumps(value)}" for key, value in config.items())),
    ]
    path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **QUIET, "FLWR_HOME": str(tmp_path / "flwr"), "PATH": path}
    with (tmp_path / "supernode.log").open("wb") as log:
        node = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=tmp_path)
    try:
        wait_online(world, key_text(key_bytes(member.flower_key)), log=tmp_path / "supernode.log")
        order = world.order(rounds=1, deadline_seconds=PATIENCE_SECONDS, wait_seconds=PATIENCE_SECONDS)
        there = world.conduct(order)
    finally:
        node.terminate()
        node.wait(30)
        world.processes.start_node("bank-d")
        world.processes.wait_online(["bank-d"])
    assert there.state.history[0].institutions == list(NAMES), (tmp_path / "supernode.log").read_text()[-2000:]
    here = in_process(Order(order.task, order.plan, order.strategy), tmp_path)
    for name, values in here.state.arrays.items():
        np.testing.assert_array_equal(there.state.arrays[name], values)


def wait_online(world: World, key: str, *, log: Path) -> None:
    """Return once the node with this key is online."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    with superlink_of(world) as superlink:
        while superlink.node_states().get(key) != "online":
            assert time.monotonic() < give_up, log.read_text()[-2000:]
            time.sleep(0.2)
