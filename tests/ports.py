"""Ports of loopback that nobody else is given: below those that the system hands out, each worker from its own part.

A port that the system has handed out, and that was let go so that another program may listen there, may be handed out
again before that program does.
"""

from __future__ import annotations

import itertools
import os
import socket

FIRST, PARTS, EACH = 20_000, 8, 1_500  # the system's begin at 32,768
_part = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PARTS
_numbers = itertools.count(os.getpid() * 61)  # another run of the tests beside this one begins elsewhere


def free_port() -> int:
    """A port that nobody listens on now."""
    for number in itertools.islice(_numbers, EACH):
        port = FIRST + _part * EACH + number % EACH
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    raise OSError(f"no free port from {FIRST + _part * EACH} on")
