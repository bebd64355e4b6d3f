"""Files in a home folder become Prometheus metrics, served on loopback; no label holds a company or a person.

Nothing here is trusted: a missing, broken or oversized file leaves its metrics out, and a label that is not a short
plain word becomes `other`. Monitoring must not stop because the thing it watches is broken.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIServer

from cryptography import x509
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

LOOPBACK = "127.0.0.1"
MOST_BYTES = 16 * 2**20  # of a sealed document; status files are far smaller
WORD = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)


class Sheet:
    """Metrics of one scrape, gathered under their names; a value of None is left out."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._found: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}

    def gauge(self, name: str, about: str, value: float | None, **labels: str) -> None:
        """A value that goes up and down."""
        self._add(GaugeMetricFamily, name, about, value, labels)

    def counter(self, name: str, about: str, value: float | None, **labels: str) -> None:
        """A count that starts at 0 with its process; Prometheus adds `_total` to the name."""
        self._add(CounterMetricFamily, name, about, value, labels)

    def _add(self, kind: Any, name: str, about: str, value: float | None, labels: Mapping[str, str]) -> None:
        if value is None:
            return
        name = f"{self._prefix}_{name}"
        family = self._found.setdefault(name, kind(name, about, labels=sorted(labels)))
        family.add_metric([word(labels[key]) for key in sorted(labels)], value)

    def metrics(self) -> Iterable[Metric]:
        """The families, in the order they were first named."""
        return self._found.values()


@dataclass(frozen=True)
class FromHome(Collector):
    """What `read` finds in a home folder, anew at each scrape."""

    home: Path
    read: Callable[[Path], Iterable[Metric]]

    def collect(self) -> Iterable[Metric]:
        """The metrics as the folder is now."""
        return self.read(self.home)


@dataclass(frozen=True)
class Served:
    """A server of metrics on loopback; `close` ends it."""

    port: int
    server: WSGIServer
    thread: threading.Thread

    def close(self) -> None:
        """Stop answering, and free the port."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def serve(read: Callable[[Path], Iterable[Metric]], home: Path, port: int) -> Served:
    """Answer http://127.0.0.1:PORT/metrics from a thread; port 0 takes a free one. Never on another address."""
    registry = CollectorRegistry()
    registry.register(FromHome(home, read))
    server, thread = start_http_server(port, addr=LOOPBACK, registry=registry)
    return Served(server.server_port, server, thread)


def word(text: str) -> str:
    """The text if it can be a label, else `other`: a name, a code of a company or a sentence cannot.

    >>> word("egress"), word("Müller GmbH"), word("91990001000000019G"), word("budget 3")
    ('egress', 'other', 'other', 'other')
    """
    return text if WORD.fullmatch(text) and not re.search(r"\d{8}", text) else "other"


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; an empty one where there is none that can be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        found = json.loads(data) if len(data) <= MOST_BYTES else None
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def number(raw: Any) -> float | None:
    """A finite number, or None.

    >>> number(3), number(True), number("3"), number(float("nan"))
    (3.0, None, None, None)
    """
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    try:
        return float(raw) if abs(raw) < float("inf") else None
    except OverflowError:
        return None


def counts(raw: Any) -> dict[str, float]:
    """Numbers by word; what is no number is left out, and words that cannot be labels are one."""
    found: dict[str, float] = {}
    for key, value in raw.items() if isinstance(raw, Mapping) else ():
        if (count := number(value)) is not None:
            found[word(str(key))] = found.get(word(str(key)), 0.0) + count
    return found


def moment(raw: Any) -> float | None:
    """Seconds since 1970 of an ISO time (without a zone it is UTC) or of a number; None where it is neither.

    >>> moment("1970-01-02T00:00:00Z"), moment(5), moment("soon")
    (86400.0, 5.0, None)
    """
    if not isinstance(raw, str):
        return number(raw)
    try:
        found = datetime.fromisoformat(raw)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def certificate_end(path: Path) -> float | None:
    """When the certificate in a PEM file ends, in seconds since 1970; None where there is none."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return None


def add_manifest(sheet: Sheet, path: Path) -> dict[str, Any]:
    """Put version and expiry of the sealed manifest on the sheet; its body, unverified, for showing only."""
    body = read_json(path).get("body")
    body = body if isinstance(body, dict) else {}
    sheet.gauge(
        "manifest_version", "Version of the membership manifest that is kept here.", number(body.get("version"))
    )
    sheet.gauge("manifest_expires_timestamp_seconds", "When the manifest expires.", moment(body.get("expires")))
    return body


def add_disk(sheet: Sheet, home: Path) -> None:
    """Put the free and whole size of the home's disk on the sheet."""
    try:
        disk = shutil.disk_usage(home)
    except OSError:
        return
    sheet.gauge("disk_free_bytes", "Free room on the disk of the home folder.", disk.free)
    sheet.gauge("disk_size_bytes", "Size of the disk of the home folder.", disk.total)
