"""The consortium's home becomes the platform's metrics: manifest, certificates, nodes, studies, backup, scores.

    python -m server.metrics --home DIR --port 9410

answers on 127.0.0.1 only. It opens everything for reading, and the SuperLink's database for a single query at a scrape.
"""

from __future__ import annotations

import argparse
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

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
from server.gateway_metrics import responses
from server.scoring.places import BOOK, RECORD
from server.scoring.weigh import weigh_file

PORT = 9410
# Flower 1.41, supercore/state/schema/linkstate_models.py: what may be online; `online_until` is set by each heartbeat.
NODES = "SELECT status = 'online' AND online_until > ?, count(*) FROM node WHERE status <> 'unregistered' GROUP BY 1"
CERTIFICATES = {"authority": "authority/ca.crt", "superlink": "superlink/server.crt", "gateway": "gateway/server.crt"}
ACTIVE = {"gathering", "running", "cut"}  # server/deployed.py; a coordinator that was cut has work left


def collect(home: Path, *, runs: Path | None = None, now: datetime | None = None) -> Iterable[Metric]:
    """Every metric that the home gives now, and the score books of RUNS/models; what cannot be read is left out."""
    sheet = Sheet("fedcredit_platform")
    _members(sheet, add_manifest(sheet, home / "manifest.json"))
    for name, path in CERTIFICATES.items():
        end = certificate_end(home / path)
        sheet.gauge("certificate_expires_timestamp_seconds", "When a certificate ends.", end, certificate=name)
    _nodes(sheet, home / "superlink" / "state.db")
    _studies(sheet, home / "studies")
    for code, count in responses(home).items():
        sheet.counter("gateway_responses", "Answers of the gateway by status code.", count, code=code)
    done = moment(read_json(home / "run" / "backup.json").get("time"))
    sheet.gauge("backup_timestamp_seconds", "When the last whole backup was made.", done)
    _scores(sheet, runs, now=now or datetime.now(UTC))
    add_disk(sheet, home)
    return sheet.metrics()


def serve_metrics(home: Path, port: int = PORT, *, runs: Path | None = None) -> Served:
    """Answer Prometheus on 127.0.0.1 from a thread; `.port` says where, `.close()` ends it."""
    return serve(partial(collect, runs=runs), home, port)


def _members(sheet: Sheet, manifest: dict[str, Any]) -> None:
    members = manifest.get("members")
    if not isinstance(members, list):
        return
    found = Counter(str(one.get("status")) for one in members if isinstance(one, dict))
    for status in ("active", "revoked"):
        sheet.gauge("members", "Institutions in the manifest.", found[status], status=status)


def _nodes(sheet: Sheet, database: Path) -> None:
    try:
        db = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=2)
        try:
            found = dict(db.execute(NODES, (time.time(),)).fetchall())
        finally:
            db.close()
    except sqlite3.Error:
        return
    online = found.pop(1, 0)
    sheet.gauge("nodes", "Registered nodes.", online, status="online")
    sheet.gauge("nodes", "Registered nodes.", sum(found.values()), status="offline")


def _studies(sheet: Sheet, folder: Path) -> None:
    """The unit of each study that last gave a sign, by its status.json; what ended long ago says nothing more."""
    for study in sorted({path.relative_to(folder).parts[0] for path in folder.glob("*/*/**/status.json")}):
        if word(study) != study:
            continue
        found = [read_json(path) for path in (folder / study).glob("*/**/status.json")]
        status = max(found, key=lambda one: moment(one.get("updated")) or 0.0)
        is_running = str(status.get("state")) in ACTIVE
        sheet.gauge("study_running", "1 while the study's newest unit goes on.", is_running, study=study)
        sheet.gauge("study_round", "Last finished round.", number(status.get("round")), study=study)
        sheet.gauge("study_round_seconds", "Length of that round.", number(status.get("seconds")), study=study)
        updated = moment(status.get("updated"))
        sheet.gauge("study_updated_timestamp_seconds", "When it last gave a sign.", updated, study=study)
        sheet.gauge("study_missing", "Institutions without a reply in it.", number(status.get("missing")), study=study)
        for code, count in counts(status.get("quarantined")).items():
            sheet.gauge("study_quarantined", "Replies set aside in it.", count, study=study, code=code)


def _scores(sheet: Sheet, runs: Path | None, *, now: datetime) -> None:
    """How fresh the scores are, from the books themselves: so it is told also where nothing rescores any more."""
    for path in sorted((runs / "models").glob(f"*/{BOOK}")) if runs is not None else ():
        model, found = path.parent.name, weigh_file(path, now=now)
        if found is None or word(model) != model:
            continue
        sheet.gauge("scores_live", "Living companies.", found.live, model=model)
        sheet.gauge("scores_fresh", "Of these, with a score younger than 72 hours.", found.fresh, model=model)
        sheet.gauge("scores_fresh_share", "Fresh over live.", found.share, model=model)
        sheet.gauge("scores_unscored", "Of these, without any score.", found.unscored, model=model)
        age = None if found.oldest_hours is None else found.oldest_hours * 3600
        sheet.gauge("scores_oldest_seconds", "Age of the oldest score.", age, model=model)
        record = read_json(path.with_name(RECORD))
        good = moment(record.get("good"))
        sheet.gauge("scores_rescored_timestamp_seconds", "When the last good rescoring began.", good, model=model)


def main(words: list[str] | None = None) -> None:
    """Serve until told to stop."""
    asked = argparse.ArgumentParser(prog="python -m server.metrics", description="The platform's metrics on loopback.")
    asked.add_argument("--home", type=Path, required=True)
    asked.add_argument("--port", type=int, default=PORT)
    asked.add_argument("--runs", type=Path, help="Folder of runs, whose models' scores are watched too.")
    said = asked.parse_args(words)
    serve_metrics(said.home, said.port, runs=said.runs).thread.join()


if __name__ == "__main__":
    main()
