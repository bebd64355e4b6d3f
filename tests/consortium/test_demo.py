"""The demo: one command, from nothing to a finished masked and private study over TLS, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
COMMAND = [sys.executable, "-m", "fedcredit", "consortium", "demo"]


def processes_of(folder: Path) -> list[str]:
    """Command lines of what still runs with this folder in it, or works there."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            try:
                words = (path / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
                place = str((path / "cwd").resolve())
            except OSError:
                continue
            if str(folder) in words or str(folder) in place:
                found.append(words)
    return found


def left_in(folder: Path, *, seconds: float = 10.0) -> list[str]:
    """Those that still run after a moment: the last of them may be about to end when their starter has ended."""
    give_up = time.monotonic() + seconds
    while (found := processes_of(folder)) and time.monotonic() < give_up:
        time.sleep(0.1)
    return found


def test_demo_runs_a_masked_private_study_and_leaves_nothing_running(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    done = subprocess.run([*COMMAND, "--json", "--folder", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout)
    assert (result["institutions"], result["rounds"], result["tls_group"]) == (5, 10, "X25519MLKEM768")
    assert 0 < result["epsilon_spent"] <= 3
    assert left_in(folder) == []
    verified = subprocess.run(
        [sys.executable, "-m", "fedcredit", "consortium", "verify", "--home", str(folder / "consortium")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout
    assert "studies" in verified.stdout
    for number in range(5):
        words = ["node", "verify", "--home", str(folder / f"node-{number}")]
        checked = subprocess.run(
            [sys.executable, "-m", "fedcredit", *words], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_demo_that_is_told_to_stop_stops_everything(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    demo = subprocess.Popen([*COMMAND, "--folder", str(folder)], stderr=subprocess.PIPE, text=True)
    assert demo.stderr is not None
    assert "joined" in demo.stderr.readline()  # and its nodes are being started
    time.sleep(1.0)
    demo.send_signal(signal.SIGTERM)
    demo.communicate(timeout=120)
    assert demo.returncode not in (0, -signal.SIGKILL)
    assert left_in(folder) == []
