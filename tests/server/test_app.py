"""An order becomes a trained model, and every institution is asked for what the run needs at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from clients.app import app
from fedcredit.errors import ConfigError
from fedcredit.federation.checkpoint import RoundRecord
from fedcredit.federation.grid import InProcessGrid
from fedcredit.models.build import ModelSettings
from server.app import Conducted, app_for, conduct, initial_arrays
from tests.conftest import Nodes
from tests.federation.conftest import make_order, make_task

MakeNodes = Callable[..., Nodes]


def test_what_is_conducted_names_members_rounds_and_no_spend_without_privacy(nodes: MakeNodes) -> None:
    told: list[RoundRecord] = []
    done = conduct(InProcessGrid(app, nodes(3).configs), make_order(rounds=2), on_round=told.append)
    assert [member.institution for member in done.members] == ["bank-0", "bank-1", "bank-2"]
    assert [record.round for record in told] == [1, 2]
    assert done.epsilon == {}
    assert [record.loss for record in told] == [record.loss for record in done.state.history]
    losses = [record.loss for record in told]
    assert losses[1] < losses[0]  # type: ignore[operator]


def test_everybody_can_make_the_first_model_from_the_task() -> None:
    task = make_task(model=ModelSettings("lstm", hidden=2), share="body")
    first, again = initial_arrays(task), initial_arrays(task)
    assert all(name.startswith("body.") for name in first)
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])


def test_the_server_app_leaves_its_result_in_the_outbox(nodes: MakeNodes) -> None:
    outbox: list[Conducted] = []
    server_app = app_for(make_order(rounds=1), outbox, lambda record: None)
    server_app(InProcessGrid(app, nodes(3).configs), context=None)
    assert [done.state.round for done in outbox] == [1]


def test_an_order_may_start_from_the_model_in_service(nodes: MakeNodes) -> None:
    grid = InProcessGrid(app, nodes(3).configs)
    first = conduct(grid, make_order(make_task(run="first"), rounds=2)).state.arrays
    more = conduct(grid, replace(make_order(make_task(run="more"), rounds=2), initial=first)).state.arrays
    whole = conduct(grid, make_order(make_task(run="anew"), rounds=2)).state.arrays
    for name, value in first.items():
        np.testing.assert_array_equal(whole[name], value)  # the same two rounds from a fresh model
        assert not np.array_equal(more[name], value)


def test_the_arrays_of_another_model_are_no_start(nodes: MakeNodes) -> None:
    task = make_task()
    other = initial_arrays(make_task(model=ModelSettings("lstm", hidden=2)))
    with pytest.raises(ConfigError, match=r"order\.initial: found arrays of another model"):
        conduct(InProcessGrid(app, nodes(3).configs), replace(make_order(task), initial=other))
