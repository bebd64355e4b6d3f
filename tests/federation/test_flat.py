"""The server's loop keeps nothing of a round but its record: memory is flat over hundreds of rounds."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pytest

from clients.app import app
from fedcredit.federation.grid import InProcessGrid
from fedcredit.models.build import ModelSettings
from server.app import conduct
from tests.conftest import Nodes
from tests.federation.conftest import make_order, make_task

ROUNDS, WARM = 200, 50
MOST_BYTES_A_ROUND = 20_000  # a record of a round is some 500; an update of this model would be 20 times this


def resident_bytes() -> int:
    """Anonymous memory of this process."""
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("RssAnon")).split()[1])


@pytest.mark.slow
def test_memory_of_the_servers_loop_is_flat_over_two_hundred_rounds(
    nodes: Callable[..., Nodes], tmp_path: Path
) -> None:
    task = make_task(model=ModelSettings("mlp", hidden=300))
    order = make_order(task, checkpoints=tmp_path / "checkpoint", rounds=ROUNDS)
    seen: dict[int, int] = {}

    def measure(record: object) -> None:
        number = len(seen) + 1
        seen[number] = resident_bytes() if number in (WARM, ROUNDS) else 0

    conduct(InProcessGrid(app, nodes(3).configs), order, on_round=measure)
    grown = (seen[ROUNDS] - seen[WARM]) / (ROUNDS - WARM)
    assert grown < MOST_BYTES_A_ROUND
