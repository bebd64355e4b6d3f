"""The same order on Flower's own simulation: ClientApps run in Ray's workers, two at a time on two cores."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flwr.clientapp import ClientApp
from flwr.simulation import run_simulation

from fedcredit.errors import FederationError
from fedcredit.federation.checkpoint import RoundRecord
from server.app import Conducted, Order, app_for


def conduct_on_ray(
    order: Order, client_app: ClientApp, *, nodes: int, on_round: Callable[[RoundRecord], None] = lambda record: None
) -> Conducted:
    """Run the order on `nodes` simulated nodes; each reads its facts from the file that FEDCREDIT_NODES names.

    Raises:
        FederationError: the simulation ended without a model; its own log says why.
    """
    outbox: list[Conducted] = []
    backend = {
        "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        "init_args": {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR},
    }
    run_simulation(app_for(order, outbox, on_round), client_app, num_supernodes=nodes, backend_config=backend)
    if not outbox:
        raise FederationError("engine=ray", found="no result", expected="a model", hint="try engine=inprocess")
    return outbox[0]
