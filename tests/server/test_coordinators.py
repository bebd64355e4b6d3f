"""A lock that nobody holds any more becomes the word `cut`; a coordinator that ends by itself leaves nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.coordinators import at_work, mark_cut, write_whole

RUN = 7
PROGRAM = """
import sys, time
from pathlib import Path
from server.coordinators import at_work
with at_work(Path(sys.argv[1]), flower_run=7, status=Path(sys.argv[2])):
    print("at work", flush=True)
    time.sleep(60)
"""


@contextmanager
def coordinator(notes: Path, status: Path) -> Iterator[subprocess.Popen[str]]:
    """A process at work on run 7."""
    command = [sys.executable, "-c", PROGRAM, str(notes), str(status)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("state", ["gathering", "running"])
def test_killed_coordinator_is_marked_once(tmp_path: Path, state: str) -> None:
    notes, status = tmp_path / "notes", tmp_path / "status.json"
    write_whole(status, {"state": state, "flower_run": RUN, "round": 3})
    with coordinator(notes, status) as process:
        assert mark_cut(notes) == []  # it lives
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert mark_cut(notes) == [RUN]
    said = json.loads(status.read_text())
    assert (said["state"], said["round"]) == ("cut", 3)
    assert mark_cut(notes) == []


def test_coordinator_that_had_ended_its_study_is_not_marked(tmp_path: Path) -> None:
    notes, status = tmp_path / "notes", tmp_path / "status.json"
    write_whole(status, {"state": "succeeded", "flower_run": RUN})
    with coordinator(notes, status) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        mark_cut(notes)
    assert json.loads(status.read_text())["state"] == "succeeded"


def test_another_coordinator_of_the_unit_is_not_marked_for_the_dead_one(tmp_path: Path) -> None:
    notes, status = tmp_path / "notes", tmp_path / "status.json"
    write_whole(status, {"state": "running", "flower_run": RUN + 1})
    with coordinator(notes, status) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert mark_cut(notes) == [RUN]
    assert json.loads(status.read_text())["state"] == "running"


def test_coordinator_that_ends_leaves_no_note(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with pytest.raises(SystemExit), at_work(notes, flower_run=RUN, status=tmp_path / "status.json"):
        raise SystemExit(1)
    assert list(notes.iterdir()) == []
    assert mark_cut(notes) == []


def test_where_nobody_ever_worked_nothing_is_marked(tmp_path: Path) -> None:
    assert mark_cut(tmp_path / "none") == []
