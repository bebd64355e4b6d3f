"""A connection passes through and becomes a record of its handshake; it can be slowed down or cut on the way.

For tests and measurements: what a real tunnel and a real gateway agreed on is read from their own bytes, and a slow or
broken network is made where none is at hand.

    with Relay(("127.0.0.1", gateway_port)) as relay:
        ...                                       # a tunnel dials relay.address
        relay.handshakes[0].negotiated().name     # 'X25519MLKEM768'
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

from fedcredit.link.handshake import MAX_HELLO_BYTES, ClientHello, Negotiated, read_client_hello, read_server_hello


@dataclass
class Handshake:
    """The first bytes of both directions of one connection."""

    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)

    def offered(self) -> ClientHello:
        """What the client offered. Raises LinkRefused if it did not speak TLS."""
        return read_client_hello(bytes(self.sent))

    def negotiated(self) -> Negotiated:
        """What the server picked. Raises LinkRefused if it refused or did not answer."""
        return read_server_hello(bytes(self.received))


class Relay:
    """Listens on a free port of the loopback interface and passes every connection on to `target`."""

    def __init__(self, target: tuple[str, int], *, delay_seconds: float = 0.0) -> None:
        self.target, self.delay_seconds = target, delay_seconds
        self.handshakes: list[Handshake] = []
        self._sockets: list[socket.socket] = []
        self._swallowed: set[socket.socket] = set()
        self._is_cut = False
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> tuple[str, int]:
        """What to dial instead of the target."""
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    def cut(self) -> None:
        """End all connections, and every new one at once, until `mend`."""
        with self._lock:
            self._is_cut, sockets, self._sockets = True, self._sockets, []
        for end in sockets:
            _end(end)

    def mend(self) -> None:
        """Let new connections through again."""
        self._is_cut = False

    def swallow(self) -> None:
        """Let nothing through on the present connections, and do not say so; new ones are not affected."""
        with self._lock:
            self._swallowed.update(self._sockets)

    def close(self) -> None:
        """Stop listening and end all connections."""
        self.cut()
        _end(self._listener)

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                if self._is_cut:
                    _end(client)
                    continue
            except OSError:
                return
            try:
                server = socket.create_connection(self.target, timeout=10)
            except OSError:
                _end(client)
                continue
            record = Handshake()
            with self._lock:
                self.handshakes.append(record)
                self._sockets += [client, server]
            for pair in ((client, server, record.sent), (server, client, record.received)):
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, record: bytearray) -> None:
        with contextlib.suppress(OSError):
            source.settimeout(None)
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a relay adds no delay but the one asked for
            while data := source.recv(64 * 1024):
                if len(record) < MAX_HELLO_BYTES:
                    record += data
                if source in self._swallowed:
                    continue
                if self.delay_seconds:
                    time.sleep(self.delay_seconds)
                sink.sendall(data)
        for end in (source, sink):
            _end(end)


def _end(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
