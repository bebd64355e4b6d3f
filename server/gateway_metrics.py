"""The gateway's own counters, read from Caddy's admin socket, become answers by status code.

Caddy's admin API stays on a unix socket in the home folder, where Prometheus cannot reach it; so this asks instead.
Caddy counts only if its configuration says `"apps": {"http": {"metrics": {}}}`.
"""

from __future__ import annotations

import http.client
import socket
from collections import defaultdict
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

SOCKETS = ("run/gateway/*.sock", "run/*.sock", "gateway/*.sock", "gateway/run/*.sock")
COUNT = "caddy_http_request_duration_seconds_count"
WAIT_SECONDS = 2.0
MOST_BYTES = 8 * 2**20


class _Unix(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=WAIT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(WAIT_SECONDS)
        self.sock.connect(str(self._path))


def responses(home: Path) -> dict[str, float]:
    """How many answers of each status code the gateway has given since it started; empty where none answers.

    A request passes several handlers, and each of them counts it: the largest count is the number of requests.
    """
    for path in (path for pattern in SOCKETS for path in sorted(home.glob(pattern))):
        try:
            return _by_code(_ask(path))
        except (OSError, http.client.HTTPException, ValueError):
            continue
    return {}


def _ask(path: Path) -> str:
    connection = _Unix(path)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        data = answer.read(MOST_BYTES + 1)
    finally:
        connection.close()
    if answer.status != 200 or len(data) > MOST_BYTES:
        raise ValueError("no metrics")
    return data.decode()


def _by_code(text: str) -> dict[str, float]:
    handlers: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            code = sample.labels.get("code", "")
            if sample.name == COUNT and len(code) == 3 and code.isdigit():
                handlers[code][sample.labels.get("handler", "")] += sample.value
    return {code: max(found.values()) for code, found in sorted(handlers.items())}
