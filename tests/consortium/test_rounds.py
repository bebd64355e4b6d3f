"""A run over mutual TLS gives what the same run gives in one process, bit by bit, plain and masked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clients.app import app
from fedcredit.data.windows import save
from fedcredit.errors import PolicyRefused
from fedcredit.federation.grid import InProcessGrid
from fedcredit.link.handshake import probe
from server.app import Conducted, Order, conduct
from tests.consortium.world import NAMES, World, masked, rows
from tests.federation.conftest import make_task

pytestmark = pytest.mark.slow


def in_process(order: Order, folder: Path) -> Conducted:
    """The same order, where every institution is this process."""
    configs = []
    for windows in rows():
        name = windows.institutions[0]
        save(windows, folder / f"{name}.npz")
        facts = {"institution": name, "windows": str(folder / f"{name}.npz"), "state": str(folder / name)}
        configs.append({**facts, "label-definition": "90 dpd", "open-rows": True})
    return conduct(InProcessGrid(app, configs), order)


def test_plain_run_over_the_superlink_equals_the_run_in_one_process(world: World, tmp_path: Path) -> None:
    order = world.order()
    there = world.conduct(order)
    here = in_process(Order(order.task, order.plan, order.strategy), tmp_path)
    assert there.state.round == 3
    assert [member.institution for member in there.members] == list(NAMES)
    for name, values in here.state.arrays.items():
        np.testing.assert_array_equal(there.state.arrays[name], values)


def test_masked_run_over_the_superlink_comes_near_the_plain_one(world: World, tmp_path: Path) -> None:
    there = world.conduct(world.order(masked()))
    here = in_process(Order(make_task(), world.order().plan, world.order().strategy), tmp_path)
    assert there.state.history[-1].institutions == list(NAMES)
    for name, values in here.state.arrays.items():
        np.testing.assert_allclose(there.state.arrays[name], values, atol=0.05)  # weights are capped under masks


def test_link_of_the_gateway_is_post_quantum(world: World) -> None:
    host, _, port = world.operator.facts.gateway.rpartition(":")
    assert probe(host, int(port), server_name=world.operator.facts.server_name).name == "X25519MLKEM768"


def test_study_that_the_consortium_has_not_allowed_is_refused_before_it_is_sent(world: World) -> None:
    with pytest.raises(PolicyRefused, match="no study"):
        world.conduct(replace(world.order(), study="other"))
