"""The measurement of the scoring service: a short one, in which no request fails."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from experiments.benchmarks.serving import figures
from experiments.benchmarks.serving_load import Waits, open_loop, post


@asynccontextmanager
async def answering(status: int, seconds: float) -> AsyncIterator[int]:
    """A server that answers every request so, after a while; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(2)
                await asyncio.sleep(seconds)
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok".encode())
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def load(status: int, seconds: float, *, per_second: float, asked_for: float = 0.5) -> Waits:
    """What the sender says of it, after `asked_for` seconds of requests."""

    async def run() -> Waits:
        async with answering(status, seconds) as port:
            return await open_loop(port, post("/", b"{}", token="x"), seconds=asked_for, per_second=per_second)  # noqa: S106

    return asyncio.run(run())


def test_a_request_s_time_runs_from_the_moment_at_which_it_was_due() -> None:
    quick, slow = load(200, 0.001, per_second=25, asked_for=4), load(200, 0.2, per_second=200)
    assert (len(quick.ms), quick.failed) == (100, 0)
    assert quick.at(50) < 100
    # 20 connections of 0.2 s take 100 a second: half of those that are due wait, the last ones for half a second.
    assert slow.at(99) > 500


def test_an_answer_other_than_200_is_a_failed_request() -> None:
    found = load(503, 0.0, per_second=40)
    assert (len(found.ms), found.failed) == (0, 20)


@pytest.mark.slow
def test_no_request_fails_over_a_promotion_a_rollback_and_the_gateway() -> None:
    if shutil.which("hey") is None:
        pytest.skip("Debian's hey is not installed")
    found = figures(seconds=2)
    assert found["failed_requests"] == 0
    assert found["promote_s"] < 2
    assert found["rollback_s"] < 2
    assert found["restart_s"] < 30
    assert found["http_p50_ms"] > 0
