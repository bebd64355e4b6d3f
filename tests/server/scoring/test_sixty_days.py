"""Sixty days of a fake clock, with outages of scheduler, sources and disk: the figure tells every breach."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedcredit.data.schema import Column, Label, Schema, Table
from fedcredit.errors import FedCreditError, TableError
from fedcredit.models import bundle as bundles
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.bundle import Bundle
from server.metrics import collect
from server.scoring import scheduled
from server.scoring.book import BookError, ScoreBook
from server.scoring.places import BOOK, RECORD, desk_of
from server.scoring.run_record import read_record
from server.scoring.scored import OBJECTIVE
from tests.server.promotion.world import World, found

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS, COMPANIES, HOUR = 60, 120, timedelta(hours=1)
SCHEMA = Schema((Column("debt", "raw"),), Label("bad"), company="company")
SEED = 7


def hours(day: float, length: float) -> range:
    """The hours of an outage that begins on a day."""
    return range(int(24 * day), int(24 * day + length))


# Two days without a run breach nothing, four do; likewise for deliveries and for the disk.
SCHEDULER = (hours(8, 40), hours(16, 100))
SOURCES = (hours(26, 40), hours(33, 90))
DISK = (hours(43, 40), hours(49, 80))
LONG = (SCHEDULER[1], SOURCES[1], DISK[1])


@dataclass
class Sources:
    """Companies that are founded, close and make news, by a fake clock; deliveries come or do not."""

    rng: np.random.Generator
    are_away: bool = False
    at: datetime | None = None
    born: list[str] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)
    moved: dict[str, datetime] = field(default_factory=dict)

    def refresh(self, as_of: datetime) -> None:
        """All that was delivered since: a few companies are new, some close, one in twenty has news."""
        if self.are_away:
            raise TableError("deliveries", found="no answer", expected="files")
        count = COMPANIES if not self.born else int(self.rng.integers(0, 2))
        self.born += [f"c{len(self.born) + number:05d}" for number in range(count)]
        living = [name for name in self.born if name not in self.closed]
        if self.at is not None and self.rng.random() < 0.3:
            self.closed.add(str(self.rng.choice(living)))
        for name in self.born[-count:] if count else []:
            self.moved[name] = as_of
        self.moved |= dict.fromkeys(self.rng.choice(living, len(living) // 20).tolist(), as_of)
        self.at = as_of

    def moment(self) -> datetime | None:
        """Up to when deliveries are in."""
        return self.at

    def companies(self) -> pd.DataFrame:
        """Every company that was ever heard of."""
        moved = [self.moved[name] for name in self.born]
        alive = [name not in self.closed for name in self.born]
        return pd.DataFrame({"company": self.born, "computed_at": moved, "input_known_at": moved, "is_live": alive})

    def rows(self, companies: Sequence[str]) -> Table:
        """One row each."""
        debt = self.rng.random(len(companies))
        return Table(pd.DataFrame({"company": list(companies), "debt": debt, "bad": 0}), SCHEMA)


WORLDS: dict[Path, World] = {}  # who may approve at each desk


def promote(desk: Path, *, seed: int) -> Bundle:
    """A model in the champion's place."""
    settings = ModelSettings("logistic")
    inputs = ("debt",)
    weights = build(settings, features=inputs, time=1, seed=seed).state_dict()
    made = Bundle("loans", settings, 1, inputs, SCHEMA, weights, "c" * 64, "abc", ("east",))
    draft = bundles.write(desk.with_name(f".{desk.name}-draft-{seed}"), made)
    if desk not in WORLDS:
        WORLDS[desk] = found(desk)
    WORLDS[desk].promote(desk.with_name(f".{desk.name}-draft-{seed}"))
    return draft


def gauges(home: Path, runs: Path, now: datetime) -> dict[str, float]:
    """What Prometheus would see at that moment."""
    return {
        sample.name.removeprefix("fedcredit_platform_scores_"): sample.value
        for family in collect(home, runs=runs, now=now)
        for sample in family.samples
        if "_scores_" in sample.name
    }


@pytest.mark.slow
def test_scores_are_fresh_outside_of_outages_and_every_breach_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    desk = desk_of(runs, "fedcredit-loans")
    sources = Sources(np.random.default_rng(SEED))
    promote(desk, seed=1)
    real = ScoreBook

    def on_a_bad_disk(path: Path) -> ScoreBook:
        book = real(path)
        book._db.execute("PRAGMA query_only = ON")  # as a disk that was mounted read-only after a fault
        return book

    shares: list[float] = []
    breaches: list[int] = []
    faults: dict[str, int] = {}
    total = 0
    for hour in range(24 * DAYS):
        now = START + hour * HOUR
        if hour == 24 * 22:
            promote(desk, seed=2)
        sources.are_away = any(hour in outage for outage in SOURCES)
        is_bad = any(hour in outage for outage in DISK)
        monkeypatch.setattr(scheduled, "ScoreBook", on_a_bad_disk if is_bad else real)
        record = read_record(desk / RECORD)
        is_up = not any(hour in outage for outage in SCHEDULER)
        if is_up and (record is None or record.is_due(now)):
            try:
                done = scheduled.run(desk, lambda _: sources, as_of=now)
                total += done.scored
                if done.fault:
                    faults["sources"] = faults.get("sources", 0) + 1
            except BookError:
                faults["disk"] = faults.get("disk", 0) + 1
        told = gauges(tmp_path, runs, now)
        share = fresh_share(desk / BOOK, now)
        assert told["fresh_share"] == pytest.approx(share, abs=1e-12)
        shares.append(share)
        if share < OBJECTIVE:
            breaches.append(hour)
            assert told["oldest_seconds"] >= 72 * 3600
    outside = [share for hour, share in enumerate(shares) if not any(hour in outage for outage in LONG)]
    assert min(outside) >= OBJECTIVE
    for outage in LONG:
        assert any(hour in outage for hour in breaches)
    assert all(any(hour in outage for outage in LONG) for hour in breaches)
    assert shares[-1] == 1.0
    assert faults["sources"] > 0
    assert faults["disk"] > 0
    with real(desk / BOOK) as book:  # nothing was dropped: every company that ever lived long enough has its scores
        assert set(book.newest().dropna(subset="scored_at")["company"]) >= set(sources.born) - sources.closed
    assert total > 40 * COMPANIES  # a score a day and company, but in outages


def fresh_share(path: Path, now: datetime) -> float:
    """Counted from the rows that were written, by no code of the book's; who lives is what the last run was told."""
    db = sqlite3.connect(path)
    living = [row[0] for row in db.execute("SELECT company FROM newest WHERE is_live")]
    newest = dict(db.execute("SELECT company, max(scored_at) FROM scores GROUP BY company").fetchall())
    db.close()
    limit = now - timedelta(hours=72)
    return sum(name in newest and datetime.fromisoformat(newest[name]) > limit for name in living) / len(living)


def test_a_run_is_due_by_the_clock_and_not_by_what_a_timer_remembers(tmp_path: Path) -> None:
    desk = desk_of(tmp_path, "fedcredit-loans")
    promote(desk, seed=1)
    sources = Sources(np.random.default_rng(SEED))
    scheduled.run(desk, lambda _: sources, as_of=START)
    record = read_record(desk / RECORD)
    assert record is not None
    assert not record.is_due(START + 5.9 * HOUR)
    assert record.is_due(START + 6 * HOUR)
    sources.are_away = True
    assert scheduled.run(desk, lambda _: sources, as_of=START + 6 * HOUR).fault
    record = read_record(desk / RECORD)
    assert record is not None
    assert (record.state, record.good) == ("failed", "2026-01-01T00:00:00.000000Z")
    assert record.is_due(START + 6.1 * HOUR)  # again at once


@pytest.mark.parametrize("content", [b"", b"[]", b'{"state": 7}', b"\xff" * 9, b"[" * 99_999])
def test_a_record_that_cannot_be_read_makes_a_run_due(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RECORD).write_bytes(content)
    assert read_record(tmp_path / RECORD) is None


def test_two_runs_at_once_are_one(tmp_path: Path) -> None:
    desk = desk_of(tmp_path, "fedcredit-loans")
    promote(desk, seed=1)
    sources = Sources(np.random.default_rng(SEED))

    def second(_: Bundle) -> Sources:
        with pytest.raises(FedCreditError, match="another run at work"):
            scheduled.run(desk, lambda _: sources, as_of=START)
        return sources

    assert scheduled.run(desk, second, as_of=START).scored == COMPANIES


@pytest.mark.parametrize("broken", ["none", "history", "bundle"])
def test_without_a_champion_that_holds_nothing_is_scored(tmp_path: Path, broken: str) -> None:
    desk = desk_of(tmp_path, "fedcredit-loans")
    made = promote(desk, seed=1)
    if broken == "none":
        desk = desk_of(tmp_path, "cards")
    elif broken == "history":
        path = desk / "history.jsonl"
        path.write_bytes(path.read_bytes().replace(made.sha256.encode(), b"0" * 64))
    else:
        path = desk / "bundles" / made.sha256 / "model.json"
        path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(FedCreditError):
        scheduled.run(desk, lambda _: Sources(np.random.default_rng(SEED)), as_of=START)
    assert not (desk / BOOK).exists()
