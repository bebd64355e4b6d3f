"""Both ends of a tunnel become a running one: started again whenever it dies, until it is closed."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedcredit.link import caddy
from fedcredit.link.caddy import Caddy, LinkDown
from fedcredit.link.tunnel import LOOPBACK, Ends, LocalTls, TunnelRole, tunnel_config

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.25


@contextmanager
def kept_tunnel(
    ends: Ends, *, folder: Path, role: TunnelRole, port: int = 0, local: LocalTls | None = None
) -> Iterator[str]:
    """The address of the tunnel's end on this machine, while it is open. Port 0 takes a free one.

    Whoever dials through it waits and tries again while it is down, so it is looked after by a thread of its own.

    Raises:
        LinkDown: Caddy does not start.
    """
    chosen = port or free_port()
    config = tunnel_config(ends, port=chosen, role=role, local=local)
    running = [caddy.start(config, folder=folder)]
    closed = threading.Event()

    def look_after() -> None:
        while not closed.wait(LOOK_SECONDS):
            if not running[0].is_running:
                log.warning("the tunnel died: it is started again")
                running[0] = _again(config, folder) or running[0]

    watch = threading.Thread(target=look_after, name="tunnel", daemon=True)
    watch.start()
    try:
        yield f"{LOOPBACK}:{chosen}"
    finally:
        closed.set()
        watch.join()
        running[0].stop()


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as found:
        found.bind((LOOPBACK, 0))
        return int(found.getsockname()[1])


def _again(config: dict[str, object], folder: Path) -> Caddy | None:
    try:
        return caddy.start(config, folder=folder)
    except LinkDown as fault:
        log.warning("%s", fault)
        return None
