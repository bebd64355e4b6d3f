"""A scoring service is asked at fixed times, whether it has answered or not: how long each request waited.

`hey -q` sends the next request of a connection when the last is answered, so it waits while a service stalls. The
sender here does not: a request's time runs from the moment at which it was due.
"""

from __future__ import annotations

import asyncio
import csv
import shutil
import ssl
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np

from fedcredit.errors import ConfigError

PER_SECOND, CONNECTIONS = 200, 20


@dataclass(frozen=True)
class Waits:
    """Milliseconds of those that were answered 200, and how many were not."""

    ms: Sequence[float]
    failed: int

    def at(self, percent: float) -> float:
        """A percentile."""
        return round(float(np.percentile(self.ms, percent)), 3) if self.ms else float("nan")


def by_hey(url: str, *, body: Path, token: str, seconds: float) -> Waits:
    """What Debian's `hey -q` measures at 200 requests a second. Raises ConfigError: it is not installed."""
    program, count = shutil.which("hey"), int(seconds * PER_SECOND)
    if program is None:
        raise ConfigError("hey", found="no such program", expected="Debian's package hey", hint="apt-get install hey")
    words = ["-n", str(count), "-c", str(CONNECTIONS), "-q", str(PER_SECOND // CONNECTIONS), "-t", "10", "-o", "csv"]
    words += ["-m", "POST", "-T", "application/json", "-H", f"Authorization: Bearer {token}", "-D", str(body), url]
    said = subprocess.run([program, *words], check=True, capture_output=True, text=True, timeout=seconds * 3 + 30)
    rows = list(csv.DictReader(StringIO(said.stdout)))
    good = [1000 * float(row["response-time"]) for row in rows if row["status-code"] == "200"]
    return Waits(good, failed=count - len(good))


async def open_loop(
    port: int, request: bytes, *, seconds: float, per_second: float = PER_SECOND, tls: ssl.SSLContext | None = None
) -> Waits:
    """Requests at fixed times over a few connections that stay open."""
    lines = asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()
    name = "gateway.test" if tls else None
    for _ in range(CONNECTIONS):
        lines.put_nowait(await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name))
    waits: list[float] = []
    failed = 0

    async def one(due: float) -> None:
        nonlocal failed
        line = await lines.get()
        try:
            line[1].write(request)
            if await _status(line[0]) == 200:
                waits.append(1000 * (time.perf_counter() - due))
            else:
                failed += 1
        except (OSError, asyncio.IncompleteReadError, ValueError):
            failed += 1
            line = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
        finally:
            lines.put_nowait(line)

    began, tasks = time.perf_counter(), []
    for number in range(int(seconds * per_second)):
        due = began + number / per_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(due)))
    await asyncio.gather(*tasks)
    while not lines.empty():
        lines.get_nowait()[1].close()
    return Waits(waits, failed)


async def _status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return int(head.split(b" ", 2)[1])


def post(path: str, body: bytes, *, token: str) -> bytes:
    """A whole HTTP request."""
    head = f"POST {path} HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
