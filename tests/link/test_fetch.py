"""What a lying server sends is read up to a limit and no further, and never unpacked."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from fedcredit.link.fetch import FetchFailed, fetch

MIB = 1024 * 1024


@contextmanager
def server(
    *pieces: bytes, every_seconds: float = 0.0, endless: bytes = b""
) -> Iterator[tuple[str, list[int], list[bytes]]]:
    """A server that answers one request with these bytes; gives its address, how much it sent, what it heard."""
    sent, asked = [0], [b""]
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            try:
                peer, _ = listener.accept()
                with peer:
                    asked[0] = peer.recv(65536)
                    for piece in pieces:
                        peer.sendall(piece)
                        sent[0] += len(piece)
                        time.sleep(every_seconds)
                    while endless:
                        peer.sendall(endless)
                        sent[0] += len(endless)
                        time.sleep(every_seconds)
            except OSError:  # the caller has hung up
                pass

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1/manifest", sent, asked
        listener.close()
        thread.join(10)


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *lines, "", ""]).encode()


def test_a_file_of_the_largest_size_is_read_and_asked_for_unpacked() -> None:
    with server(head("Content-Length: 5"), b"12345") as (url, _, asked):
        assert fetch(url, most=5, seconds=10) == b"12345"
        assert b"accept-encoding: identity" in asked[0].lower()


def test_an_answer_that_never_ends_is_read_to_the_limit() -> None:
    with server(head(), endless=b"x" * 65536) as (url, sent, _), pytest.raises(FetchFailed, match="larger"):
        fetch(url, most=MIB, seconds=30)
    assert sent[0] < 32 * MIB  # what the two sockets hold beside the limit


@pytest.mark.parametrize("coding", ["gzip", "deflate, gzip", "br", "x-unknown"])
def test_a_packed_answer_is_refused_and_not_unpacked(coding: str) -> None:
    bomb = gzip.compress(b"0" * 64 * MIB)
    assert len(bomb) < MIB
    lines = [f"Content-Encoding: {coding}", f"Content-Length: {len(bomb)}"]
    with server(head(*lines), bomb) as (url, _, _), pytest.raises(FetchFailed, match="packed"):
        fetch(url, most=MIB, seconds=10)


def test_an_answer_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that is faster than the sockets' own: where the machine pauses, no drop comes too late for them."""
    began, real = time.monotonic(), time.monotonic
    monkeypatch.setattr("fedcredit.link.fetch.time", SimpleNamespace(monotonic=lambda: 60 * real()))
    with (
        server(head(), endless=b"x", every_seconds=0.05) as (url, _, _),
        pytest.raises(FetchFailed, match="slow"),
    ):
        fetch(url, most=MIB, seconds=30)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("status", [404, 403, 502, 302])
def test_another_status_is_told_and_nothing_is_followed(status: int) -> None:
    answer = head("Location: http://127.0.0.1:1/", "Content-Length: 0", status=f"{status} So")
    with server(answer) as (url, _, _), pytest.raises(FetchFailed) as refused:
        fetch(url, most=MIB, seconds=10)
    assert refused.value.status == status


@pytest.mark.parametrize("said", [b"", b"\x00\xff nonsense\r\n\r\n", head("Content-Length: 100") + b"short"])
def test_what_is_no_answer_is_a_failure_of_ours(said: bytes) -> None:
    with server(said) as (url, _, _), pytest.raises(FetchFailed):
        fetch(url, most=MIB, seconds=10)


def test_the_environments_proxy_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with server(head("Content-Length: 2"), b"ok") as (url, _, _):
        assert fetch(url, most=2, seconds=10) == b"ok"
