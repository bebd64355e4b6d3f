"""A question that a node takes and does not answer is known to its next process, whole, whatever ended the first."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from clients.pending import Pending


def test_a_question_that_was_answered_leaves_no_note(tmp_path: Path) -> None:
    pending = Pending(tmp_path / "question.pb")
    with pending.noted(b"question"):
        assert (tmp_path / "question.pb").read_bytes() == b"question"
    assert pending.left() is None


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_what_ends_the_node_over_a_question_leaves_the_note(end: type[BaseException], tmp_path: Path) -> None:
    """SIGTERM during training is a KeyboardInterrupt: the reply is owed all the same."""
    pending = Pending(tmp_path / "question.pb")
    with contextlib.suppress(end), pending.noted(b"question"):
        raise end
    assert pending.left() == b"question"
    assert pending.left() is None, "it is owned up to once"


def test_the_note_is_on_the_disk_before_the_question_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, real = [], os.fsync

    def fsync(file: int) -> None:
        synced.append(Path(f"/proc/self/fd/{file}").resolve().name)
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    with Pending(tmp_path / "question.pb").noted(b"question"):
        assert len(synced) == 2, "the bytes, and the name in the folder"
        assert synced[1] == tmp_path.name
        assert [path.name for path in tmp_path.iterdir()] == ["question.pb"], "no draft is left"
