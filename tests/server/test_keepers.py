"""Parts of a platform under keepers of their own: none runs twice, each is found, and each can be started again."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from fedcredit.errors import NodeError
from server.keepers import PARTS, alone, keepers
from server.kept import Kept, pids_in
from tests.server.test_kept import SLEEP, until


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_parts_of_their_own_run_beside_each_other_and_are_all_found(tmp_path: Path) -> None:
    with alone(tmp_path, "superlink"), alone(tmp_path, "gateway"):
        assert keepers(tmp_path) == {"superlink": os.getpid(), "gateway": os.getpid()}
    assert keepers(tmp_path) == {}
    with alone(tmp_path, None):
        assert tuple(keepers(tmp_path)) == PARTS


@pytest.mark.parametrize(("first", "second"), [("gateway", "gateway"), ("gateway", None), (None, "superexec")])
def test_nothing_is_kept_twice(tmp_path: Path, first: str | None, second: str | None) -> None:
    with alone(tmp_path, first), pytest.raises(NodeError, match="that runs"), alone(tmp_path, second):
        pass
    assert keepers(tmp_path) == {}


def test_each_keeper_notes_its_own_processes(tmp_path: Path) -> None:
    both = [Kept({name: SLEEP}, folder=tmp_path, environment={}, keeper=name) for name in ("superlink", "superexec")]
    try:
        for one in both:
            one.look()
        assert set(pids_in(tmp_path)) == {"superlink", "superexec"}
        both[0].stop()
        assert set(pids_in(tmp_path)) == {"superexec"}
    finally:
        for one in both:
            one.stop()
    assert pids_in(tmp_path) == {}


def test_a_restart_ends_the_processes_and_the_next_look_starts_them(tmp_path: Path) -> None:
    kept = Kept({"superlink": SLEEP}, folder=tmp_path, environment={})
    try:
        kept.look()
        before = pids_in(tmp_path)["superlink"]
        kept.restart()
        assert not is_there(before)
        kept.look()
        assert pids_in(tmp_path)["superlink"] != before
    finally:
        kept.stop()


def test_what_a_killed_keeper_left_is_ended_also_under_another_split(tmp_path: Path) -> None:
    left = Kept({"superlink": SLEEP}, folder=tmp_path, environment={})  # of all parts
    left.look()
    before = pids_in(tmp_path)["superlink"]
    until(lambda: (tmp_path / "superlink.log").stat().st_size > 0)  # until then its command line is not its own
    process = left._running["superlink"]
    reaper = threading.Thread(target=process.wait, daemon=True)  # as init does with an orphan
    reaper.start()
    kept = Kept({"superlink": SLEEP}, folder=tmp_path, environment={}, keeper="superlink")
    try:
        reaper.join(30)
        assert not is_there(before)
    finally:
        kept.stop()
        left.stop()
