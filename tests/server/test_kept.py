"""Commands stay running; what a killed keeper left is ended first, and nobody else's process is."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from server.kept import Kept

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


def until(is_so: Callable[[], bool]) -> None:
    """Return once it is so."""
    give_up = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def pids(folder: Path) -> dict[str, int]:
    """What the keeper noted."""
    found: dict[str, int] = json.loads((folder / "pids-platform.json").read_text())
    return found


def test_killed_process_is_started_again(tmp_path: Path) -> None:
    kept = Kept({"a": SLEEP}, folder=tmp_path, environment=os.environ)
    kept.look()
    first = pids(tmp_path)["a"]
    os.kill(first, signal.SIGKILL)

    def is_back() -> bool:
        kept.look()
        return pids(tmp_path)["a"] != first

    until(is_back)
    assert kept.restarts == {"a": 1}
    kept.stop()
    assert not (tmp_path / "pids-platform.json").exists()


def test_process_that_needs_a_server_is_started_once_somebody_listens(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{server.getsockname()[1]}"
        kept = Kept({"a": SLEEP, "b": SLEEP}, folder=tmp_path, environment=os.environ, after={"b": address})
        try:
            kept.look()
            assert set(pids(tmp_path)) == {"a"}
            server.listen()
            kept.look()
            assert set(pids(tmp_path)) == {"a", "b"}
        finally:
            kept.stop()


@pytest.mark.parametrize(("command", "sign"), [(SLEEP, signal.SIGTERM), (STUBBORN, signal.SIGKILL)])
def test_process_that_a_killed_keeper_left_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], sign: signal.Signals
) -> None:
    monkeypatch.setattr("server.kept.STOP_SECONDS", 3.0)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as left:
        assert left.stdout is not None
        left.stdout.read(1)  # until then its command line is not its own
        (tmp_path / "pids-platform.json").write_text(json.dumps({"a": left.pid}))
        Kept({"a": command}, folder=tmp_path, environment=os.environ)
        assert left.wait(10) == -sign


@pytest.mark.parametrize("name", ["a", "another"])
def test_process_of_another_command_or_of_no_part_of_ours_is_left_alone(tmp_path: Path, name: str) -> None:
    with subprocess.Popen(SLEEP) as other:
        (tmp_path / "pids-platform.json").write_text(json.dumps({name: other.pid}))
        ours = [*SLEEP[:2], "import time; time.sleep(59)"] if name == "a" else SLEEP
        Kept({"a": ours}, folder=tmp_path, environment=os.environ)
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize("said", ["", "no JSON", '{"a": 999999999}'])
def test_note_that_says_nothing_is_no_obstacle(tmp_path: Path, said: str) -> None:
    (tmp_path / "pids-platform.json").write_text(said)
    Kept({"a": SLEEP}, folder=tmp_path, environment=os.environ)


KEEPER = """
import os, sys, time
from pathlib import Path
from server.kept import Kept, keep
command = [sys.executable, "-c", "import time; time.sleep(60)"]
folder = Path(sys.argv[1])

def on_stop():
    (folder / "stopping").touch()
    while not (folder / "told twice").exists():
        time.sleep(0.01)

keep(Kept({"a": command}, folder=folder, environment=os.environ), on_stop=on_stop)
"""


def test_keeper_that_is_told_to_stop_twice_leaves_nothing_running(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KEEPER, str(tmp_path)]) as keeper:
        until(lambda: (tmp_path / "pids-platform.json").exists())
        kept = pids(tmp_path)["a"]
        keeper.terminate()
        until(lambda: (tmp_path / "stopping").exists())
        keeper.terminate()
        (tmp_path / "told twice").touch()
        assert keeper.wait(20) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(kept, 0)
