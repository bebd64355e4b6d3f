"""A study that is killed mid-way and resumed gives the weights of one that was left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

STUDY = [
    *("study", "run", "quickstart", "data.economy.companies=1500", "data.economy.months=8", "data.length=4"),
    *("privacy.epsilons=[null]", "privacy.metrics=exact", "arms=[local,federated,pooled]", "recipe.rounds=150"),
    *("data.economy.institutions=3", "workers=1", "tracking.mlflow=false", "seeds=[0]", "evaluation.draws=20"),
]


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    log = (folder / "out.txt").open("ab")
    with log:
        return subprocess.Popen([sys.executable, "-m", "fedcredit", *words], cwd=folder, stdout=log, stderr=log)


def finish(folder: Path, *words: str) -> None:
    process = start(folder, *words)
    assert process.wait(timeout=600) == 0, (folder / "out.txt").read_text()


def run_of(folder: Path) -> Path | None:
    return next(iter(folder.glob("runs/quickstart/*Z")), None)


def rounds_in(run: Path) -> list[str]:
    return sorted(str(path.relative_to(run)) for path in run.glob("units/*/checkpoint/round-*"))


def weights_in(run: Path) -> dict[str, dict[str, bytes]]:
    files = sorted(run.glob("units/*.safetensors"))
    return {path.name: {name: value.tobytes() for name, value in load_file(path).items()} for path in files}


def wait_for_rounds(process: subprocess.Popen[bytes], folder: Path, *, more_than: int, units: int) -> Path:
    """The run, once it has finished `units` units and holds more checkpoints than before."""
    give_up = time.monotonic() + 300
    while time.monotonic() < give_up:
        assert process.poll() is None, "it was over before it could be cut"
        run = run_of(folder)
        if run is not None and len(rounds_in(run)) > more_than and len(list(run.glob("units/*.json"))) >= units:
            return run
        time.sleep(0.01)
    raise TimeoutError((folder / "out.txt").read_text())


def status_of(run: Path) -> str:
    return str(json.loads((run / "status.json").read_text())["state"])


@pytest.mark.slow
@pytest.mark.timeout(1200)  # three minutes where four other processes want the two cores
def test_a_killed_study_is_resumed_to_the_same_weights(tmp_path: Path) -> None:
    finish(tmp_path / "whole", *STUDY)
    whole = run_of(tmp_path / "whole")
    assert whole is not None

    cut = tmp_path / "cut"
    first = start(cut, *STUDY)
    run = wait_for_rounds(first, cut, more_than=0, units=0)
    os.kill(first.pid, signal.SIGKILL)  # inside the first unit
    first.wait()
    assert status_of(run) == "running"
    assert not (cut / "runs/quickstart/latest").exists()

    second = start(cut, "study", "resume", str(run))
    wait_for_rounds(second, cut, more_than=len(rounds_in(run)), units=1)
    finish(cut, "study", "stop", str(run))  # inside a later one
    assert second.wait(timeout=300) == 1
    assert status_of(run) == "interrupted"
    assert (cut / "out.txt").read_text().splitlines()[-1] == "stopped"
    assert 1 <= len(list(run.glob("units/*.json"))) < 5

    finish(cut, "study", "resume", str(run))
    resumed = run_of(cut)
    assert resumed is not None
    assert len(list(cut.glob("runs/quickstart/*Z"))) == 1
    assert len(weights_in(whole)) == 5
    assert weights_in(resumed) == weights_in(whole)
    left, right = (json.loads((run / "report.json").read_text()) for run in (whole, resumed))
    assert left["rows"] == right["rows"]
    assert left["config_sha256"] == right["config_sha256"]
    assert (cut / "runs/quickstart/latest").resolve() == resumed
