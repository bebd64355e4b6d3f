"""The control API: who is away may be asked again, who refuses may not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from fedcredit.errors import FederationError
from fedcredit.link.running import free_port
from server.superlink import PlatformAway, control


@contextmanager
def answering(status: int) -> Iterator[str]:
    """A server that answers everything with this status."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *said: object) -> None:
            """Nothing on stderr."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_refusal_is_no_absence() -> None:
    with (
        answering(403) as address,
        control(address) as superlink,
        pytest.raises(FederationError, match="HTTP 403") as refused,
    ):
        superlink.state(1)
    assert not isinstance(refused.value, PlatformAway)


def test_gateway_without_its_superlink_is_an_absence() -> None:
    with answering(502) as address, control(address) as superlink, pytest.raises(PlatformAway, match="HTTP 502"):
        superlink.state(1)


def test_nobody_is_an_absence() -> None:
    with control(f"127.0.0.1:{free_port()}") as superlink, pytest.raises(PlatformAway, match="ConnectError"):
        superlink.state(1)
