"""The gateway's own counters, read from Caddy's admin socket, become answers by status code.

Caddy's administration stays on a unix socket in the home folder, where Prometheus cannot reach it; so this asks.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from fedcredit.link.admin import ask

COUNT = "caddy_http_request_duration_seconds_count"
WAIT_SECONDS = 2.0


def responses(home: Path) -> dict[str, float]:
    """How many answers of each status code the gateway has given since it started; empty where none answers.

    A request passes several handlers, and each of them counts it: the largest count is the number of requests.
    """
    try:
        status, text = ask(home / "run" / "gateway", "GET", "/metrics", wait=WAIT_SECONDS)
        return _by_code(text) if status == 200 else {}
    except (OSError, ValueError):
        return {}


def _by_code(text: str) -> dict[str, float]:
    handlers: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            code = sample.labels.get("code", "")
            if sample.name == COUNT and len(code) == 3 and code.isdigit():
                handlers[code][sample.labels.get("handler", "")] += sample.value
    return {code: max(found.values()) for code, found in sorted(handlers.items())}
