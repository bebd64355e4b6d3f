"""The score book keeps every score, answers the newest, knows how old they are, and is whole after any fault."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from server.scoring.book import BookError, ScoreBook
from server.scoring.scored import Scored
from tests.test_journal import being_made

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def scores(
    *companies: str, p: float = 0.1, period: str = "2026-03", version: str = "m-1", **more: object
) -> pd.DataFrame:
    head = {"company": list(companies), "period": period, "pd": p, "coverage": 1.0, "model_version": version}
    return pd.DataFrame(head | more)


def test_the_newest_score_and_the_path_come_back_as_they_were_put(tmp_path: Path) -> None:
    with ScoreBook(tmp_path / "m" / "scores.sqlite") as book:
        book.put(scores("a", period="2026-02", p=0.3, grade="CCC"), scored_at=NOON - timedelta(days=28))
        book.put(scores("a", "b", grade="B", reasons=[[{"name": "debt"}]] * 2, input_known_at=NOON), scored_at=NOON)
        found = book.latest("a")
        expected = '[{"name": "debt"}]'
        moment = "2026-03-10T12:00:00.000000Z"
        assert found == Scored("a", "2026-03", 0.1, "B", 1.0, "m-1", moment, moment, expected)
        assert [(one.period, one.grade) for one in book.path("a")] == [("2026-02", "CCC"), ("2026-03", "B")]
        assert book.latest("nobody") is None
        assert book.path("nobody") == []
    assert (tmp_path / "m" / "scores.sqlite").stat().st_mode & 0o777 == 0o600


def test_the_same_score_again_makes_it_younger_and_an_earlier_one_never_older(tmp_path: Path) -> None:
    with ScoreBook(tmp_path / "scores.sqlite") as book:
        for hours in (0, 10, 5):
            book.put(scores("a", period=f"2026-0{hours % 3 + 1}"), scored_at=NOON + timedelta(hours=hours))
        found = book.latest("a")
        assert found is not None
        assert found.scored_at == "2026-03-10T22:00:00.000000Z"


def test_a_shadows_scores_are_kept_but_nobodys_newest(tmp_path: Path) -> None:
    with ScoreBook(tmp_path / "scores.sqlite") as book:
        book.put(scores("a"), scored_at=NOON)
        book.put(scores("a", version="shadow-1", p=0.9), scored_at=NOON + timedelta(hours=1), is_newest=False)
        found = book.latest("a")
        assert found is not None
        assert found.model_version == "m-1"
        assert [one.pd for one in book.path("a", model_version="shadow-1")] == [0.9]


def test_a_score_is_stale_from_72_hours_on_and_still_an_answer(tmp_path: Path) -> None:
    with ScoreBook(tmp_path / "scores.sqlite") as book:
        book.put(scores("old"), scored_at=NOON - timedelta(hours=72))
        book.put(scores("young"), scored_at=NOON - timedelta(hours=71, minutes=59))
        book.live(["old", "young", "never"])
        old, young = book.latest("old"), book.latest("young")
        assert old is not None
        assert old.is_stale(NOON)
        assert old.as_dict(NOON)["stale"] is True
        assert young is not None
        assert not young.is_stale(NOON)
        found = book.freshness(NOON)
        assert (found.live, found.fresh, found.stale, found.unscored, found.oldest_hours) == (3, 1, 2, 1, 72.0)
        assert found.share == pytest.approx(1 / 3)
        assert not found.is_met


def test_who_no_longer_lives_keeps_the_score_and_counts_no_more(tmp_path: Path) -> None:
    with ScoreBook(tmp_path / "scores.sqlite") as book:
        book.put(scores("gone", "here"), scored_at=NOON - timedelta(hours=100))
        book.put(scores("here"), scored_at=NOON)
        book.live(["here"])
        assert book.freshness(NOON).share == 1.0
        assert book.latest("gone") is not None
        book.live(["here", "gone"])
        assert book.freshness(NOON).share == 0.5


def test_an_empty_book_is_late_with_nothing(tmp_path: Path) -> None:
    with ScoreBook(tmp_path / "scores.sqlite") as book:
        found = book.freshness(NOON)
        assert (found.live, found.share, found.oldest_hours, found.is_met) == (0, 1.0, None, True)
        assert book.newest().empty


@pytest.mark.parametrize("p", [1.2, -0.1, float("nan")])
def test_what_is_no_probability_is_refused_and_none_of_its_rows_kept(tmp_path: Path, p: float) -> None:
    with ScoreBook(tmp_path / "scores.sqlite") as book:
        with pytest.raises(BookError, match=r"1 probabilities outside 0\.\.1"):
            book.put(pd.concat([scores("a"), scores("b", p=p)]))
        assert book.latest("a") is None


def test_a_full_disk_costs_a_batch_and_the_book_stays_whole(tmp_path: Path) -> None:
    with ScoreBook(tmp_path / "scores.sqlite") as book:
        book.put(scores("a"), scored_at=NOON)
        pages = book._db.execute("PRAGMA page_count").fetchone()[0]
        book._db.execute(f"PRAGMA max_page_count = {pages + 2}")  # SQLite's own 'database or disk is full'
        with pytest.raises(BookError, match="full"):
            book.put(scores(*(f"c{n}" for n in range(5_000))), scored_at=NOON)
        assert len(book.newest()) == 1
        book._db.execute(f"PRAGMA max_page_count = {1 << 30}")
        assert book.put(scores(*(f"c{n}" for n in range(5_000))), scored_at=NOON) == 5_000


def test_a_book_that_another_holds_is_said_to_be_locked(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    with ScoreBook(path) as one, ScoreBook(path, wait_seconds=0.05) as two, one._writing():
        with pytest.raises(BookError, match="locked"):
            two.put(scores("a"))
        assert two.latest("a") is None  # who reads does not wait


def test_a_book_that_another_process_makes_at_that_moment_is_waited_for(tmp_path: Path) -> None:
    with being_made(tmp_path / "scores.sqlite"), ScoreBook(tmp_path / "scores.sqlite") as book:
        assert book.put(scores("a"), scored_at=NOON) == 1


def test_a_book_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BookError, match="unable to open"):
        ScoreBook(tmp_path / "scores.sqlite", is_writable=False)


def test_readers_in_threads_see_whole_batches_while_one_writes(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    seen: set[int] = set()
    with ScoreBook(path) as book, ScoreBook(path, is_writable=False) as reader:
        done = threading.Event()

        def look() -> None:
            while not done.is_set():
                seen.add(len(reader.newest()))

        thread = threading.Thread(target=look)
        thread.start()
        for k in range(20):
            book.put(scores(*(f"{k}-{n}" for n in range(100))))
        done.set()
        thread.join()
    assert {count % 100 for count in seen} == {0}


def _write_forever(path: Path) -> None:
    with ScoreBook(path) as book:
        for k in range(10_000):
            book.put(scores(*(f"{k}-{n}" for n in range(1_000))))


def test_a_writer_that_is_killed_leaves_whole_batches(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    process = multiprocessing.get_context("spawn").Process(target=_write_forever, args=(path,))
    process.start()
    give_up = time.monotonic() + 60
    while not path.exists() or path.stat().st_size < 1 << 19:
        assert process.is_alive()
        assert time.monotonic() < give_up
        time.sleep(0.01)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    with ScoreBook(path) as book:
        count = len(book.newest())
        assert count
        assert count % 1_000 == 0
        assert book._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.slow
def test_120_000_scores_are_kept_in_seconds_and_weighed_in_less(tmp_path: Path) -> None:
    companies = [f"9{n:017d}" for n in range(120_000)]
    with ScoreBook(tmp_path / "scores.sqlite") as book:
        began = time.monotonic()
        book.put(scores(*companies, grade="BB", input_known_at=NOON), scored_at=NOON)
        book.live(companies)
        put = time.monotonic() - began
        began = time.process_time()  # of computing: it is short, and a busy machine no fault of the book
        found = book.freshness(NOON)
        weighed = time.process_time() - began
    assert (found.live, found.fresh) == (120_000, 120_000)
    assert put < 30
    assert weighed < 2
