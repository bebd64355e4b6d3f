"""A node's home becomes its metrics: messages, refusals by code, budget, certificate, manifest, the worker's health.

    python -m clients.node_metrics --home DIR --port 9411

answers on 127.0.0.1 only, for the institution's own Prometheus. Nothing of it goes to the platform.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import yaml
from prometheus_client.core import Metric

from fedcredit.gauges import (
    Served,
    Sheet,
    add_disk,
    add_manifest,
    certificate_end,
    counts,
    moment,
    number,
    read_json,
    serve,
    word,
)

PORT = 9411
# A plan, a close and a charge without a plan have the population's lifetime epsilon with every open plan in it;
# a charge under a plan repeats the figure of its plan (privacy/entry.py). Only a close makes it smaller.
COMMITTED = """
SELECT max(epsilon_after) FROM entries AS one
WHERE seq >= coalesce((SELECT max(seq) FROM entries WHERE population = one.population AND event = 'close'), 0)
AND NOT (event = 'charge' AND EXISTS (
  SELECT 1 FROM entries WHERE run = one.run AND population = one.population AND event = 'plan'))
"""
LONGEST_LINE = 2**20  # of an audit log


def collect(home: Path) -> Iterable[Metric]:
    """Every metric that the home gives now; what cannot be read is left out."""
    sheet = Sheet("fedcredit_node")
    _status(sheet, home / "run" / "status.json")
    add_manifest(sheet, home / "manifest.json")
    end = certificate_end(home / "tls.crt")
    sheet.gauge("certificate_expires_timestamp_seconds", "When the node's certificate ends.", end)
    _budget(sheet, home)
    for code, count in audited(home / "audit.jsonl").items():
        sheet.counter("audited", "Lines of the audit log, by code or else event.", count, code=code)
    add_disk(sheet, home)
    return sheet.metrics()


def serve_metrics(home: Path, port: int = PORT) -> Served:
    """Answer Prometheus on 127.0.0.1 from a thread; `.port` says where, `.close()` ends it."""
    return serve(collect, home, port)


def _status(sheet: Sheet, path: Path) -> None:
    status = read_json(path)
    if not status:
        return
    sheet.gauge(
        "running", "1 while the node's process lives and says so.", _lives(status.get("state"), status.get("pid"))
    )
    sheet.counter("messages", "Messages that were answered.", number(status.get("messages")))
    sheet.counter("worker_restarts", "Workers that had to be replaced.", number(status.get("worker_restarts")))
    for code, count in counts(status.get("refused")).items():
        sheet.counter("refused", "Messages that were refused.", count, code=code)
    sheet.gauge("last_message_timestamp_seconds", "When the last one came.", moment(status.get("last_message_at")))
    sheet.gauge("last_round_seconds", "How long the last round took here.", number(status.get("last_round_seconds")))


def _lives(state: object, pid: object) -> bool:
    """A node that was killed left a status behind; only a process that is there still runs."""
    if state in ("stopped", "failed") or not isinstance(pid, int) or isinstance(pid, bool) or not 1 <= pid < 2**31:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _budget(sheet: Sheet, home: Path) -> None:
    sheet.gauge(
        "epsilon_committed", "Lifetime epsilon, spent and reserved; the largest.", committed(home / "ledger.sqlite")
    )
    try:
        policy = yaml.safe_load((home / "policy.yaml").read_bytes())
        ceiling = number(policy["epsilon"]["lifetime"])
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, RecursionError):
        return
    sheet.gauge("epsilon_ceiling", "Most epsilon of a company's lifetime that the policy allows.", ceiling)


def committed(ledger: Path) -> float | None:
    """The largest lifetime epsilon over the ledger's populations, 0 for an empty one; None where none can be read."""
    try:
        db = sqlite3.connect(f"{ledger.resolve().as_uri()}?mode=ro", uri=True, timeout=2)
        try:
            (found,) = db.execute(COMMITTED).fetchone()
        finally:
            db.close()
    except sqlite3.Error:
        return None
    return number(found) or 0.0


def audited(log: Path) -> dict[str, float]:
    """Lines of an audit log by their code, or their event where they have none; only what is new is read."""
    try:
        found = log.stat()
    except OSError:
        return {}
    tally = _tally(log, found.st_ino)
    tally.read(found.st_size)
    return dict(tally.codes)


class _Tally:
    """How far a log was counted; a log that became shorter is counted anew."""

    def __init__(self, log: Path) -> None:
        self.log, self.at, self.codes = log, 0, Counter[str]()

    def read(self, size: int) -> None:
        if size < self.at:
            self.at, self.codes = 0, Counter()
        try:
            with self.log.open("rb") as file:
                file.seek(self.at)
                while (line := file.readline(LONGEST_LINE)).endswith(b"\n"):
                    self.at += len(line)
                    self.codes[_code(line)] += 1
        except OSError:
            return


@lru_cache(maxsize=16)
def _tally(log: Path, inode: int) -> _Tally:
    return _Tally(log)


def _code(line: bytes) -> str:
    try:
        record = json.loads(line)
        facts = record.get("facts", {})
        return word(str(facts.get("code") or record.get("event") or "other"))
    except (ValueError, AttributeError, RecursionError):
        return "unreadable"


def main(words: list[str] | None = None) -> None:
    """Serve until told to stop."""
    asked = argparse.ArgumentParser(prog="python -m clients.node_metrics", description="A node's metrics on loopback.")
    asked.add_argument("--home", type=Path, required=True)
    asked.add_argument("--port", type=int, default=PORT)
    said = asked.parse_args(words)
    serve_metrics(said.home, said.port).thread.join()


if __name__ == "__main__":
    main()
