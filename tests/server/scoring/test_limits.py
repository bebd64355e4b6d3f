"""Too much at once, of one caller or of all, is told to come again, and the others are served."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from server.api import MOST_BATCHES
from server.scoring.book import ScoreBook
from server.scoring.policy import Policy
from server.scoring.running import BOOK
from server.scoring.tokens import issue
from tests.server.scoring.world import Serving, asked


def test_reasons_count_as_a_request_for_each_company(tmp_path: Path) -> None:
    serving = Serving(tmp_path, Policy(per_second=0.01, burst=5)).start()
    try:
        singles = [serving.score(asked(reasons="en"))[0] for _ in range(3)]
        assert singles == [422, 422, 429]  # this model has none to give: the question was counted
        batch = {"companies": [asked(f"c{number}", reasons="en") for number in range(4)]}
        assert serving.ask("POST", "/score/batch", batch, role="data_scientist")[0] == 429
        plain = {"companies": [asked(f"c{number}") for number in range(4)]}
        assert serving.ask("POST", "/score/batch", plain, role="data_scientist")[0] == 200
    finally:
        serving.stop()


def test_more_than_a_few_batches_are_told_to_come_again_and_grades_and_metrics_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = Serving(tmp_path)
    told = {"company": "known", "pd": 0.012, "grade": "BBB-", "coverage": 0.9, "model_version": "quick-1"}
    with ScoreBook(serving.desk / BOOK) as book:
        book.put(pd.DataFrame([told]))
    serving.start()
    many, go_on = serving.service.many, threading.Event()

    def held(*words: Any) -> Any:
        go_on.wait(30)
        return many(*words)

    monkeypatch.setattr(serving.service, "many", held)
    batch = {"companies": [asked()]}
    try:
        with ThreadPoolExecutor(MOST_BATCHES + 3) as pool:
            sent = [pool.submit(serving.ask, "POST", "/score/batch", batch) for _ in range(MOST_BATCHES + 3)]
            try:
                refused = [one.result() for one in islice(as_completed(sent, timeout=10), 3)]
                assert {(one[0], one[1]["code"], one[2]["retry-after"]) for one in refused} == {(503, "busy", "1")}
                assert serving.ask("GET", "/grades/known")[0] == 200
                assert serving.ask("GET", "/metrics", role="ops")[0] == 200
                assert serving.score()[0] == 200
            finally:
                go_on.set()
            assert sorted(one.result()[0] for one in sent) == [200] * MOST_BATCHES + [503] * 3
        assert serving.ask("POST", "/score/batch", batch)[0] == 200
    finally:
        go_on.set()
        serving.stop()


def test_requests_of_another_role_and_tokens_that_are_not_taken_are_counted(tmp_path: Path) -> None:
    serving = Serving(tmp_path, Policy(per_second=0.1, burst=20)).start()
    try:
        wrong = [serving.score(role="ops")[0] for _ in range(21)]
        assert wrong == [403] * 20 + [429]
        shown = {"fedcredit_certificate": "a" * 64}
        bad = [serving.ask("GET", "/models", role=None, Authorization="Bearer x", **shown) for _ in range(3)]
        assert [one[0] for one in bad] == [401, 401, 429]
        assert (bad[-1][1]["found"], int(bad[-1][2]["retry-after"]) > 1) == ("too many tokens that are not taken", True)
        serving.tokens["a"], serving.tokens["b"] = (
            issue(serving.keys, name="b", role="auditor", days=1, certificate=one * 64)[0] for one in "ab"
        )
        assert serving.ask("GET", "/models", role="a", **shown)[0] == 429  # a signature is not looked at
        assert serving.ask("GET", "/models", role="b", fedcredit_certificate="b" * 64)[0] == 200  # others' is
        assert [serving.ask("GET", "/models", role=None)[0] for _ in range(3)] == [401, 401, 429]
        assert serving.ask("GET", "/models", role="auditor")[0] == 200  # without a certificate nobody is kept out
    finally:
        serving.stop()


def test_a_locked_book_is_said_to_be_busy_and_scores_go_on(tmp_path: Path) -> None:
    serving = Serving(tmp_path)
    told = {"company": "known", "pd": 0.012, "grade": "BBB-", "coverage": 0.9, "model_version": "quick-1"}
    with ScoreBook(serving.desk / BOOK) as book:
        book.put(pd.DataFrame([told]))
    serving.start()
    try:
        with exclusive(serving.desk / BOOK):
            status, answer, headers = serving.ask("GET", "/grades/known")
            assert (status, answer["code"], headers["retry-after"]) == (503, "busy", "1")
            assert str(serving.desk) not in json.dumps(answer)
            assert serving.score()[0] == 200
        assert serving.ask("GET", "/grades/known")[0] == 200
    finally:
        serving.stop()


@contextmanager
def exclusive(book: Path) -> Iterator[None]:
    """Another connection that holds the whole file, as a repair of it does."""
    other = sqlite3.connect(book, isolation_level=None)
    try:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()
