"""A nodes file becomes a model trained on Ray: `python -m tests.server.on_ray NODES OUT QUORUM`.

In a process of its own: Ray leaves files and children open that pytest would call warnings.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from safetensors.numpy import save_file

from clients.app import app
from clients.institution import NODES_FILE
from fedcredit.errors import FedCreditError
from fedcredit.models.build import ModelSettings
from server.app import Order
from server.simulation import conduct_on_ray
from tests.federation.conftest import make_order, make_task


def order_of(run: str, *, quorum: int = 3) -> Order:
    """Two rounds of FedAdam on a small LSTM."""
    task = make_task(run=run, model=ModelSettings("lstm", hidden=4))
    strategy = {"_target_": "flwr.serverapp.strategy.FedAdam", "eta": 0.05}
    wait = 90.0 if quorum == 3 else 3.0  # Ray's workers import torch before they answer
    return make_order(task, strategy=strategy, rounds=2, quorum=quorum, deadline_seconds=60.0, wait_seconds=wait)


if __name__ == "__main__":
    nodes, out, quorum = sys.argv[1:]
    os.environ[NODES_FILE] = nodes
    try:
        done = conduct_on_ray(order_of("on-ray", quorum=int(quorum)), app, nodes=3)
    except FedCreditError as fault:
        sys.exit(f"refused: {fault}")
    save_file(dict(done.state.arrays), Path(out))
