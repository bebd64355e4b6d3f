"""What a node was asked when it died is known to the next process once."""

from __future__ import annotations

from pathlib import Path

import pytest

from clients.pending import Pending
from tests.conftest import small_files


def test_question_that_was_answered_is_not_left(tmp_path: Path) -> None:
    pending = Pending(tmp_path / "question.pb")
    with pending.noted(b"question"):
        pass
    assert pending.left() is None


def test_question_that_failed_is_not_left(tmp_path: Path) -> None:
    pending = Pending(tmp_path / "question.pb")
    with pytest.raises(ValueError, match="x"), pending.noted(b"question"):
        raise ValueError("x")
    assert pending.left() is None


def test_question_over_which_a_process_died_is_left_once(tmp_path: Path) -> None:
    path = tmp_path / "question.pb"
    with Pending(path).noted(b"question"):
        assert Pending(path).left() == b"question"  # as the next process finds it
        assert Pending(path).left() is None


def test_full_disk_keeps_no_question_from_its_answer(tmp_path: Path) -> None:
    answered = []
    with small_files(3), Pending(tmp_path / "question.pb").noted(b"question"):
        answered.append(1)
    assert answered
