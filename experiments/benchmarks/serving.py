"""The scoring service's figures on this machine: time to a score, a promotion under load, a restart after a kill.

python -m experiments.benchmarks.serving --json
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments.benchmarks.serving_load import PER_SECOND, Waits, by_hey, open_loop, post
from experiments.benchmarks.serving_world import NAME, Platform, body, open_gateway
from experiments.machine import commit, machine
from fedcredit.errors import FedCreditError, RunError
from fedcredit.link.running import free_port
from server.promotion.promote import promote

SECONDS, PATIENCE = 20.0, 60.0


def figures(seconds: float = SECONDS) -> dict[str, Any]:
    """Milliseconds, failed requests and seconds; a service in its own process, everything in a folder that goes."""
    with tempfile.TemporaryDirectory() as name:
        return _measured(Path(name), seconds)


def _measured(folder: Path, seconds: float) -> dict[str, Any]:
    platform = Platform.make(folder)
    promote(platform.desk, platform.ready(1), now=datetime.now(UTC))
    token, port, content = platform.token(), free_port(), body()
    asked = folder / "body.json"
    asked.write_bytes(content)
    service = platform.start(port)
    try:
        request = post("/score", content, token=token)
        asyncio.run(open_loop(port, request, seconds=2))
        hey = by_hey(f"http://127.0.0.1:{port}/score", body=asked, token=token, seconds=seconds)
        direct = asyncio.run(open_loop(port, request, seconds=seconds))
        _say("direct", direct)
        through = _through_gateway(platform, port, content, seconds=seconds)
        _say("gateway", through)
        changed = _exchanged(platform, port, request, asked, token=token)
        service.kill()
        service.communicate()
        began = time.monotonic()
        service = platform.start(port)
        _until(lambda: _version(port, request) is not None)
        restart = time.monotonic() - began
    finally:
        service.terminate()
        service.communicate()
    return {
        "http_p50_ms": hey.at(50),
        "http_p99_ms": hey.at(99),
        "http_open_p50_ms": direct.at(50),
        "http_open_p99_ms": direct.at(99),
        "gateway_p50_ms": through.at(50),
        "gateway_p99_ms": through.at(99),
        **changed,
        "failed_requests": changed["failed_requests"] + hey.failed + direct.failed + through.failed,
        "restart_s": round(restart, 3),
        "requests_per_s": PER_SECOND,
    }


def _through_gateway(platform: Platform, port: int, content: bytes, *, seconds: float) -> Waits:
    place = platform.folder / "link"
    place.mkdir()
    door = open_gateway(place, scoring=f"127.0.0.1:{port}")
    try:
        tls = ssl.create_default_context(cafile=str(door.authority))
        tls.load_cert_chain(door.certificate, door.key)
        request = post("/v1/score", content, token=platform.token(door.sha256))
        asyncio.run(open_loop(door.port, request, seconds=2, tls=tls))
        return asyncio.run(open_loop(door.port, request, seconds=seconds, tls=tls))
    finally:
        door.gateway.stop()


def _exchanged(platform: Platform, port: int, request: bytes, asked: Path, *, token: str) -> dict[str, Any]:
    """Under load, a promotion and a rollback: seconds from each command's start to the service's other answer."""
    second = platform.ready(2)
    first = _version(port, request)
    found: list[Waits] = []
    url = f"http://127.0.0.1:{port}/score"
    load = threading.Thread(target=lambda: found.append(by_hey(url, body=asked, token=token, seconds=10)))
    load.start()
    time.sleep(2)
    took = {}
    for name, words in (("promote_s", ["promote", second[:16], "--model", NAME]), ("rollback_s", ["rollback", NAME])):
        before, began = _version(port, request), time.monotonic()
        command = [sys.executable, "-m", "fedcredit", "model", *words, "--runs", str(platform.folder), "--json"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
            _until(lambda: _version(port, request) not in (None, before))  # noqa: B023 - called before the next turn
            took[name] = round(time.monotonic() - began, 3)
            running.wait(60)
        time.sleep(1)
    load.join()
    if not found or _version(port, request) != first:
        raise RunError("rollback", found="another version", expected="the first one")
    return {**took, "failed_requests": found[0].failed, "exchange_p99_ms": found[0].at(99)}


def _version(port: int, request: bytes) -> str | None:
    """Who answers; None where nobody does."""
    head, _, content = request.partition(b"\r\n\r\n")
    headers = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n")[1:])
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        line.request("POST", "/score", content, headers)
        answer = line.getresponse()
        told = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        line.close()
    return str(told["model_version"]) if answer.status == 200 else None


def _until(is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > give_up:
            raise RunError("scoring service", found="no answer", expected=f"one within {PATIENCE:g} s")
        time.sleep(0.01)


def _say(name: str, waits: Waits) -> None:
    sys.stderr.write(f"{name}: p50 {waits.at(50)} ms, p99 {waits.at(99)} ms, failed {waits.failed}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one object; the story goes to stderr."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.serving", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each load")
    asked = parser.parse_args(arguments)
    try:
        found = figures(asked.seconds)
    except FedCreditError as fault:
        sys.stderr.write(f"error: {fault}\n")
        sys.exit(fault.exit_code)
    whence = {"machine": machine(), "commit": commit()}
    sys.stdout.write(json.dumps({**found, **whence}, indent=None if asked.json else 1) + "\n")


if __name__ == "__main__":
    main()
