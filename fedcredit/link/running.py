"""Both ends of a tunnel become a running one: started again whenever it dies, told of new ends, until it is closed."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedcredit.link import caddy
from fedcredit.link.caddy import LinkDown
from fedcredit.link.parts import Part
from fedcredit.link.tunnel import LOOPBACK, Ends, LocalTls, TunnelRole, tunnel_config

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.25


class KeptTunnel:
    """A tunnel that is open: its end on this machine, on the same port whatever happens."""

    def __init__(self, ends: Ends, *, folder: Path, role: TunnelRole, port: int, local: LocalTls | None) -> None:
        self._folder, self._role, self._port, self._local = folder, role, port, local
        self._goes_by = _contents(ends)
        self._config = self._configured(ends)
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._caddy = caddy.start(self._config, folder=folder)
        self._watch = threading.Thread(target=self._look_after, name="tunnel", daemon=True)
        self._watch.start()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{LOOPBACK}:{self._port}"

    def go_by(self, ends: Ends) -> None:
        """Lead to these ends from now on; nothing happens where it does so already. Connections stay.

        Raises:
            LinkDown, ConfigError: the ends are none, and the tunnel goes on as it was.
        """
        wanted = _contents(ends)
        if wanted == self._goes_by:
            return
        config = self._configured(ends)
        with self._lock:
            if self._caddy.is_running:
                self._caddy.reload(config)
            self._config, self._goes_by = config, wanted

    def close(self) -> None:
        """End it."""
        self._closed.set()
        self._watch.join()
        self._caddy.stop()

    def _configured(self, ends: Ends) -> Part:
        return tunnel_config(ends, port=self._port, role=self._role, local=self._local)

    def _look_after(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            with self._lock:
                if not self._caddy.is_running:
                    log.warning("the tunnel died: it is started again")
                    try:
                        self._caddy = caddy.start(self._config, folder=self._folder)
                    except LinkDown as fault:
                        log.warning("%s", fault)


@contextmanager
def kept_tunnel(
    ends: Ends, *, folder: Path, role: TunnelRole, port: int = 0, local: LocalTls | None = None
) -> Iterator[KeptTunnel]:
    """The tunnel, while it is open. Port 0 takes a free one.

    Whoever dials through it waits and tries again while it is down, so it is looked after by a thread of its own.

    Raises:
        LinkDown: Caddy does not start.
    """
    tunnel = KeptTunnel(ends, folder=folder, role=role, port=port or free_port(), local=local)
    try:
        yield tunnel
    finally:
        tunnel.close()


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as found:
        found.bind((LOOPBACK, 0))
        return int(found.getsockname()[1])


def _contents(ends: Ends) -> tuple[Ends, bytes, bytes]:
    """The ends with what is in their files: a certificate that was replaced counts as other ends."""
    try:
        return ends, ends.certificate.read_bytes(), ends.key.read_bytes()
    except OSError as fault:
        found = f"no readable {Path(str(fault.filename)).name}"
        raise LinkDown("tunnel", found=found, expected="a key and its certificate", hint="join first") from None
