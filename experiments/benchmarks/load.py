"""Many connections send events to an ingest server as fast as it answers: events a second, how long each waited.

python -m experiments.benchmarks.load --port 8787
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fedcredit.data.identifiers import uscc

CONNECTIONS = 64
EVENTS = 100  # a request
COMPANIES = 120_000
MOST_SECONDS = 60.0  # then what has not been sent is left
READS_PER_SECOND = 10


class Sender(asyncio.Protocol):
    """One connection with one request under way; the next goes out when the answer is in."""

    def __init__(self, requests: Iterator[bytes], *, waits: list[float], until: float) -> None:
        self._requests, self._waits, self._until = requests, waits, until
        self._buffer, self._sent = b"", 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport: Any = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        """Take the answer; what is not 200 ends the run."""
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._waits.append(time.perf_counter() - self._sent)
        self._buffer = b""
        if not head.startswith(b"HTTP/1.1 200"):
            self._finish(ConnectionError(head.split(b"\r\n")[0].decode()))
        else:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection that ends before its requests is an error."""
        self._finish(exc or ConnectionError("the server hung up"))

    def _next(self) -> None:
        request = next(self._requests, None) if time.perf_counter() < self._until else None
        if request is None:
            self._finish(None)
        else:
            self._sent = time.perf_counter()
            self._transport.write(request)

    def _finish(self, fault: Exception | None) -> None:
        if not self.done.done():
            self._transport.close()
            self.done.set_exception(fault) if fault else self.done.set_result(None)


def bodies(count: int, *, seed: int, events: int = EVENTS) -> Iterator[bytes]:
    """Meter readings of random companies, each body another."""
    rng = np.random.default_rng(seed)
    codes = uscc(990_001, np.arange(COMPANIES)).tolist()
    for _ in range(count):
        firms, kwh = rng.integers(0, COMPANIES, events).tolist(), rng.lognormal(8, 1, events).round(2).tolist()
        hours = rng.integers(0, 72, events).tolist()
        yield b"[%s]" % b",".join(
            b'{"company":"%s","valid_at":"2025-11-30","known_at":"2025-12-%02dT%02d:00:00Z",'
            b'"columns":{"kwh":%.2f,"degree_days":120.0,"days_late":0}}'
            % (codes[firm].encode(), 1 + hour // 24, hour % 24, value)
            for firm, value, hour in zip(firms, kwh, hours, strict=True)
        )


def post(body: bytes, table: str = "power") -> bytes:
    """A whole HTTP request."""
    head = f"POST /v1/events/{table} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def load(port: int, requests: Sequence[bytes], *, connections: int = CONNECTIONS) -> dict[str, float]:
    """Send all requests; a reader asks for windows meanwhile."""
    loop = asyncio.get_running_loop()
    waits: list[float] = []
    reads: list[float] = []
    queue, until = iter(requests), time.perf_counter() + MOST_SECONDS
    began = time.perf_counter()
    made = [
        loop.create_connection(lambda: Sender(queue, waits=waits, until=until), "127.0.0.1", port)
        for _ in range(connections)
    ]
    senders = [protocol for _, protocol in await asyncio.gather(*made)]
    reader = asyncio.create_task(_read(port, reads))
    await asyncio.gather(*(sender.done for sender in senders))
    seconds = time.perf_counter() - began
    reader.cancel()
    p99 = 1000 * np.percentile(waits, 99), 1000 * np.percentile(reads or [np.nan], 99)
    per_s = EVENTS * len(waits) / seconds
    return {"events_per_s": per_s, "p99_ms": p99[0], "read_p99_ms": p99[1], "reads": len(reads), "seconds": seconds}


async def _read(port: int, waits: list[float]) -> None:
    """Ask for the window of one company after another until cancelled."""
    codes = uscc(990_001, np.arange(COMPANIES)).tolist()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for number in range(1_000_000):
            code = codes[number * 7919 % COMPANIES]
            window = "window?table=power&column=kwh&hours=72&until=2025-12-04T00:00:00"
            began = time.perf_counter()
            writer.write(f"GET /v1/companies/{code}/{window} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_length(head))
            waits.append(time.perf_counter() - began)
            await asyncio.sleep(max(0.0, 1 / READS_PER_SECOND - waits[-1]))
    finally:
        writer.close()


def _length(head: bytes) -> int:
    return int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])


def main() -> None:
    """Print one object."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.load", description=__doc__)
    parser.add_argument("--port", type=int, default=8787)
    parser.add_argument("--requests", type=int, default=6000)
    parser.add_argument("--warm-up", type=int, default=1200, help="requests that are sent before, not counted")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    made = [post(body) for body in bodies(asked.warm_up + asked.requests, seed=asked.seed)]
    asyncio.run(load(asked.port, made[: asked.warm_up], connections=asked.connections))
    found = asyncio.run(load(asked.port, made[asked.warm_up :], connections=asked.connections))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
