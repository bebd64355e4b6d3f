"""Masked sums over real Flower messages: the mean is right, and the platform never has an update."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Message

from clients.app import app
from fedcredit.federation.arrays import decode
from fedcredit.federation.grid import InProcessGrid
from fedcredit.federation.messages import ARRAYS, MASKED, WORDS, Masking, PrivacyTerms, Task
from fedcredit.trust.keys import Identity
from fedcredit.trust.roster import write_roster
from server.app import Conducted, Order, conduct
from tests.conftest import Nodes
from tests.federation.conftest import make_order, make_task

MakeNodes = Callable[..., Nodes]
NAMES = tuple(f"bank-{number}" for number in range(5))


def with_identities(banks: Nodes, folder: Path) -> Path:
    """Give each bank an identity, and all of them the roster."""
    pinned = {}
    for config in banks.configs:
        path = folder / f"{config['institution']}.key"
        Identity.generate().save(path)
        pinned[config["institution"]] = Identity.load(path).public
        config |= {"identity": str(path), "roster": str(folder / "roster.json")}
    write_roster(folder / "roster.json", pinned)
    return folder / "roster.json"


def masked_task(**settings: Any) -> Task:
    return make_task(masking=Masking((NAMES,), limit=16.0), **settings)


def run(banks: Nodes, folder: Path, task: Task, *, grid: Any = None, **plan: Any) -> Conducted:
    order = make_order(task, quorum=4, **plan)
    roster = with_identities(banks, folder)
    grid = grid or InProcessGrid(app, banks.configs)
    return conduct(grid, Order(order.task, order.plan, order.strategy, order.checkpoints, roster))


def test_the_masked_mean_is_the_plain_mean(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = nodes(5)
    plain = conduct(InProcessGrid(app, banks.configs), make_order(make_task(run="plain"), rounds=3, quorum=5))
    masked = run(banks, tmp_path, masked_task(), rounds=3)
    assert [record.institutions for record in masked.state.history] == [list(NAMES)] * 3
    for name, value in plain.state.arrays.items():
        # bank-0 .. bank-4 have 60 to 140 rows: classes 32 to 128, whose cap lets nobody above a third.
        np.testing.assert_allclose(masked.state.arrays[name], value, rtol=0, atol=5e-2)
    assert masked.state.history[-1].validation_auc == pytest.approx(plain.state.history[-1].validation_auc, abs=0.01)
