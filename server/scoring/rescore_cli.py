"""`fedcredit model rescore | freshness`: a champion's scores kept younger than 72 hours, and how old they are."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedcredit.data.store.duck import DuckStore
    from server.scoring.rescore import Rescored

Name = Annotated[str, typer.Argument(metavar="NAME", help="The registered model.")]
Runs = Annotated[Path, typer.Option("--runs", help="Folder of runs, which has models/NAME.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
RUNS = Path("runs")
MOST_BAD = 0.2  # of a source's rows, as for fedcredit data refresh
WHY = {
    "no_score": "without a score",
    "champion": "scored by another model",
    "inputs": "with news",
    "age": "near their age limit",
}


def rescore_model(
    name: Name,
    hub: Annotated[Path, typer.Option("--hub", help="The hub's folder, as fedcredit data build made it.")],
    add: Annotated[Path | None, typer.Option("--add", help="Folder of new raw tables: taken in first.")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="A day or moment; else now.")] = None,
    renew_hours: Annotated[
        float, typer.Option("--renew-hours", min=0, max=72, help="Score again from this age on.")
    ] = 24.0,
    if_due: Annotated[bool, typer.Option("--if-due", help="Leave at once unless a run is due: for a timer.")] = False,
    every_hours: Annotated[
        float, typer.Option("--every-hours", min=0, help="With --if-due: since the last good run.")
    ] = 6.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is due by the last refresh; score nothing.")
    ] = False,
    no_reasons: Annotated[
        bool, typer.Option("--no-reasons", help="Keep grades without their reasons, which is faster.")
    ] = False,
    runs: Runs = RUNS,
    as_json: Json = False,
) -> None:
    """Refresh a hub's indicators and score again what changed, what another champion scored, and what grows old.

    May be killed and started again at any point. Exit code 1 where the sources could not be taken in: the old scores
    stay, and are told as stale once they are 72 hours old.
    """
    from server.scoring.places import RECORD, desk_of
    from server.scoring.run_record import read_record
    from server.scoring.scheduled import run_on_hub

    desk = desk_of(runs, name)
    if if_due:
        record = read_record(desk / RECORD)
        if record is not None and not record.is_due(datetime.now(UTC), every_hours=every_hours):
            due = record.due(every_hours).isoformat()
            typer.echo(json.dumps({"due": due, "scored": 0}) if as_json else f"not due before {due}")
            return
    done = run_on_hub(
        desk,
        hub,
        intake=None if add is None else lambda store: _take_in(add, store, hub),
        as_of=_moment(as_of) if as_of is not None else None,
        is_dry_run=dry_run,
        renew_hours=renew_hours,
        has_reasons=not no_reasons,
        on_batch=_progress,
    )
    typer.echo(json.dumps(done.as_dict(), ensure_ascii=False) if as_json else _text(done))
    if done.fault:
        typer.echo(f"error: {done.fault}", err=True)
        raise typer.Exit(1)


def show_freshness(name: Name, runs: Runs = RUNS, as_json: Json = False) -> None:
    """How old the scores of a model are: exit code 1 where less than 99 % of the living are under 72 hours."""
    from server.scoring.book import ScoreBook
    from server.scoring.places import BOOK, RECORD, desk_of
    from server.scoring.run_record import read_record

    desk = desk_of(runs, name)
    with ScoreBook(desk / BOOK, is_writable=False) as book:
        found = book.freshness(datetime.now(UTC))
    record = read_record(desk / RECORD)
    if as_json:
        run = None if record is None else {**vars(record), "due": record.due().isoformat()}
        typer.echo(json.dumps({**found.as_dict(), "last_run": run}, ensure_ascii=False))
    else:
        oldest = "-" if found.oldest_hours is None else f"{found.oldest_hours:.1f} hours"
        typer.echo(
            f"younger than {found.hours:g} hours: {found.fresh} of {found.live} ({found.share:.2%}), oldest {oldest}"
        )
        typer.echo(
            f"{found.stale} stale, {found.unscored} of them never scored; {found.on_news} rest on news of 72 hours"
        )
        if record is not None:
            fault = f", {record.fault.partition(chr(10))[0]}" if record.fault else ""
            typer.echo(f"last run {record.began}: {record.state}, {record.scored} scored{fault}")
            typer.echo(f"next due {record.due().isoformat()}")
    if not found.is_met:
        raise typer.Exit(1)


def _take_in(folder: Path, store: DuckStore, hub: Path) -> None:
    from fedcredit.data.hub.ingest import ingest_folder

    now = datetime.now(UTC).replace(tzinfo=None)
    ingest_folder(folder, store, now=now, most_bad=MOST_BAD, quarantine=hub / "quarantine")


def _moment(words: str) -> datetime:
    """A moment in UTC; a day means its end, and a moment without a zone is UTC."""
    from fedcredit.errors import ConfigError

    try:
        found = datetime.fromisoformat(words)
    except ValueError:
        expected = "a day such as 2025-12-31, or a moment such as 2025-12-31T08:00:00"
        raise ConfigError("--as-of", found=repr(words[:40]), expected=expected) from None
    if len(words) <= len("2025-12-31"):
        found = found.replace(hour=23, minute=59, second=59)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _progress(done: int, due: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done:>9,} of {due:,} scored" + ("\n" if done >= due else ""))
        sys.stderr.flush()


def _text(done: Rescored) -> str:
    why = ", ".join(f"{count} {WHY[word]}" for word, count in done.why.items()) or "nothing"
    fresh = done.freshness
    reasons = f"{done.explained} with reasons, in {done.seconds_explaining:.1f} s of these"
    if done.no_reasons and done.scored:
        reasons += f"; {done.scored - done.explained} without: {done.no_reasons}"
    return (
        f"{done.model_version}, as of {done.moment:%Y-%m-%d %H:%M}: {why}; {done.scored} of {done.due} scored"
        f" in {done.seconds:.1f} s\n{reasons}\n"
        f"younger than {fresh.hours:g} hours: {fresh.fresh} of {fresh.live} ({fresh.share:.2%})"
    )
