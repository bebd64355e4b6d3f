"""python -m tests.consortium.clock HOME WHEN: a node's connection by a clock that is ten minutes off, and its fault.

A process of its own: where flwr is not let in it ends the process, by a signal or five seconds later.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

from flwr.supernode import node_auth_http_interceptor as flower

from clients.connection import connected
from clients.facts import read_facts
from clients.home import NodeHome
from clients.refresh import last_manifest
from clients.start import stoppable
from clients.tunnel import node_tunnel
from fedcredit.errors import NodeError

CLOCK_OFF = timedelta(minutes=10)


def come_and_ask(node: NodeHome, *, is_off: bool) -> str:
    """What the node is told; its clock is off from the start, or once it is online."""
    told, off = flower.now, [is_off]
    flower.now = lambda: told() + CLOCK_OFF * off[0]
    with stoppable(), node_tunnel(node, read_facts(node), last_manifest(node)) as tunnel:
        try:
            with connected(tunnel.address, node.flower) as fleet:
                off[0] = True
                fleet.receive()
        except NodeError as fault:
            return str(fault)
    return "nothing"


if __name__ == "__main__":
    sys.stdout.write(come_and_ask(NodeHome(Path(sys.argv[1])), is_off=sys.argv[2] == "at the start"))
