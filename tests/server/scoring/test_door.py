"""The door: a request is read to its end before it is refused, within limits of bytes and of time."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator

import pytest

from server.scoring.messages import MOST_BYTES
from tests.server.scoring.world import Serving


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A door that waits longer for the rest of a request than any machine stands still."""
    monkeypatch.setattr("server.scoring.door.PASS_OVER_SECONDS", 60.0)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    made = Serving(tmp_path_factory.mktemp("serving")).start()
    yield made
    made.stop()


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_body_of_10_mb_is_refused_without_being_read(serving: Serving, is_announced: bool) -> None:
    head = f"POST /score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {serving.tokens['institution']}\r\n"
    head += "Content-Type: application/json\r\n"
    size = 10_000_000
    head += f"Content-Length: {size}\r\n\r\n" if is_announced else "Transfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", serving.port), timeout=20) as line:
        line.sendall(head.encode())
        sent = 0
        if not is_announced:
            for _ in range(MOST_BYTES // 65536 + 1):
                line.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
                sent += 65536
        answer = line.recv(65536)
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"connection: close" in answer.lower()
        assert sent < size / 3
    assert serving.score()[0] == 200


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(("header", "status"), [("Authorization: Bearer x", 401), ("Content-Type: text/plain", 415)])
def test_a_refusal_waits_for_the_rest_of_its_request(serving: Serving, header: str, status: int) -> None:
    """A gateway that is answered in the middle of a request may cut the answer off."""
    lines = [] if status == 401 else [f"Authorization: Bearer {serving.tokens['institution']}"]
    head = "\r\n".join(["POST /score HTTP/1.1", "Host: x", "Content-Length: 4", *lines, header, "", ""]).encode()
    with socket.create_connection(("127.0.0.1", serving.port), timeout=20) as line:
        for _ in range(2):  # the connection lives on
            line.sendall(head)
            assert not select.select([line], [], [], 0.2)[0]
            line.sendall(b"body")
            assert line.recv(65536).startswith(b"HTTP/1.1 %d" % status)


def test_a_refusal_waits_two_seconds_and_no_longer(serving: Serving) -> None:
    with socket.create_connection(("127.0.0.1", serving.port), timeout=20) as line:
        began = time.monotonic()
        line.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
        assert line.recv(65536).startswith(b"HTTP/1.1 401")
        assert 1.5 < time.monotonic() - began < 10


@pytest.mark.usefixtures("patient")
def test_of_a_refused_request_that_is_too_long_no_more_than_the_limit_is_waited_for(serving: Serving) -> None:
    with socket.create_connection(("127.0.0.1", serving.port), timeout=20) as line:
        line.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(MOST_BYTES // 65536 + 1):
            line.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
        assert line.recv(65536).startswith(b"HTTP/1.1 401")  # at once: `line` waits 20 seconds, the door 60
