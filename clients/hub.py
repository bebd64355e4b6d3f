"""The data verbs that take a folder of raw tables: it is checked, becomes a hub, and the hub is refreshed."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from fedcredit.errors import ConfigError

if TYPE_CHECKING:
    from fedcredit.data.hub.report import FolderReport
    from fedcredit.data.worlds.settings import WorldSettings

STORE = "events.duckdb"
QUARANTINE = "quarantine"


def moment(words: str, *, where: str) -> datetime:
    """A day or a moment as UTC without zone; a day means its end, so that what came in on that day counts.

    >>> moment("2025-12-31", where="--as-of")
    datetime.datetime(2025, 12, 31, 23, 59, 59)
    >>> moment("2025-12-31T06:00:00+08:00", where="--as-of")
    datetime.datetime(2025, 12, 30, 22, 0)
    """
    try:
        found = datetime.fromisoformat(words)
    except ValueError:
        expected = "a day such as 2025-12-31, or a moment such as 2025-12-31T08:00:00"
        raise ConfigError(where, found=repr(words), expected=expected) from None
    if len(words) <= len("2025-12-31"):
        found = found.replace(hour=23, minute=59, second=59)
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def check_sources(folder: Path, *, now: datetime, most_bad: float, quarantine: Path | None, as_json: bool) -> None:
    """Check every raw table of the folder and print what was found; what is set aside is written on request only."""
    from fedcredit.data.hub.check import check_folder

    report = check_folder(folder, now=now, most_bad=most_bad, quarantine=quarantine, progress=_progress)
    _print(report, as_json=as_json)


def build_hub(
    folder: Path,
    target: Path,
    *,
    now: datetime,
    most_bad: float,
    as_of: datetime | None,
    months: int,
    horizon: int,
    institution: Literal["region", "bank"],
    scores: Path | None,
    as_json: bool,
) -> None:
    """Check the raw tables, keep them in TARGET/events.duckdb, write TARGET/data.parquet and table.json."""
    from fedcredit.data.hub.ingest import ingest_folder
    from fedcredit.data.hub.outcomes import last_outcome
    from fedcredit.data.hub.scores import add_scores
    from fedcredit.data.hub.table import build_table
    from fedcredit.data.store.duck import DuckStore

    target.mkdir(parents=True, exist_ok=True)
    with DuckStore(target / STORE) as store:
        report = ingest_folder(
            folder, store, now=now, most_bad=most_bad, quarantine=target / QUARANTINE, progress=_progress
        )
        if scores is not None:
            add_scores(store, scores)
        at = as_of or last_outcome(store.connection, horizon_months=horizon)
        typer.echo(f"indicators of {months} months up to {at:%Y-%m-%d}", err=True)
        path = build_table(store, target, as_of=at, months=months, horizon_months=horizon, institution=institution)
    if as_json:
        typer.echo(json.dumps({"path": str(path), "as_of": at.isoformat(), "sources": report.as_dict()}))
        return
    _print(report, as_json=False)
    typer.echo(str(path))


def refresh_hub(
    target: Path,
    *,
    as_of: datetime,
    add: Path | None,
    scores: Path | None,
    now: datetime,
    most_bad: float,
    as_json: bool,
) -> None:
    """Take in what is new, recompute the indicators of the companies that it touches, say how fresh the hub is."""
    from fedcredit.data.hub.ingest import ingest_folder
    from fedcredit.data.hub.refresh import refresh
    from fedcredit.data.hub.scores import add_scores
    from fedcredit.data.store.duck import DuckStore

    if not (target / STORE).exists():
        hint = "fedcredit data build DIR HUB makes one"
        raise ConfigError(str(target), found=f"no {STORE}", expected="the folder of a hub", hint=hint)
    with DuckStore(target / STORE) as store:
        if add is not None:
            aside = target / QUARANTINE
            ingest_folder(add, store, now=now, most_bad=most_bad, quarantine=aside, progress=_progress)
        if scores is not None:
            add_scores(store, scores)
        done = refresh(store, as_of=as_of, folder=target)
    if as_json:
        typer.echo(json.dumps(done.as_dict()))
        return
    typer.echo(done.text())


def write_raw_economy(settings: WorldSettings, folder: Path, *, dry_run: bool, as_json: bool) -> None:
    """Write the raw tables, reports, market and truth of a synthetic economy; a dry run only says how much that is."""
    from fedcredit.data.worlds.estimate import estimate
    from fedcredit.data.worlds.write import write

    expected = estimate(settings)
    if dry_run:
        typer.echo(json.dumps(asdict(expected)) if as_json else expected.text())
        return
    target = write(settings, folder, on_region=lambda done, _: _progress(f"region {done}", 0))
    typer.echo(json.dumps({"path": str(target), **asdict(settings)}) if as_json else str(target))


def _progress(table: str, rows: int) -> None:
    """One line that grows, on a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{table:<16} {rows:>12,} rows")
        sys.stderr.flush()


def _print(report: FolderReport, *, as_json: bool) -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r" + " " * 40 + "\r")
    said: Any = report.as_dict()
    typer.echo(json.dumps(said, ensure_ascii=False) if as_json else report.text())
