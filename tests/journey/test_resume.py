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
    *("data.economy.institutions=3", "workers=1", "tracking.mlflow=false", "evaluation.draws=20"),
]


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    log = (folder / "out.txt").open("ab")
    with log:
        return subprocess.Popen([sys.executable, "-m", "fedcredit", *words], cwd=folder, stdout=log, stderr=log)


def finish(folder: Path, *words: str) -> None:
    process = start(folder, *words)
    assert process.wait(timeout=200) == 0, (folder / "out.txt").read_text()


def run_of(folder: Path) -> Path | None:
    return next(iter(folder.glob("runs/quickstart/*Z")), None)


def rounds_in(run: Path) -> list[str]:
    return sorted(str(path.relative_to(run)) for path in run.glob("units/*/checkpoint/round-*"))


def weights_in(run: Path) -> dict[str, dict[str, bytes]]:
    files = sorted(run.glob("units/*.safetensors"))
    return {path.name: {name: value.tobytes() for name, value in load_file(path).items()} for path in files}


@pytest.mark.slow
def test_a_killed_study_is_resumed_to_the_same_weights(tmp_path: Path) -> None:
    finish(tmp_path / "whole", *STUDY)
    whole = run_of(tmp_path / "whole")
    assert whole is not None

    cut = tmp_path / "cut"
    done: list[str] = []
    for number in range(3):  # killed twice: inside the first unit, then inside a later one
        run = run_of(cut)
        process = start(cut, *(STUDY if run is None else ["study", "resume", str(run)]))
        if number == 2:
            assert process.wait(timeout=200) == 0, (cut / "out.txt").read_text()
            break
        give_up = time.monotonic() + 120
        before = set(rounds_in(run)) if run else set()
        while process.poll() is None and time.monotonic() < give_up:
            run = run_of(cut)
            if (
                run is not None
                and len(set(rounds_in(run)) - before) >= 2
                and (number == 0 or list(run.glob("units/*.json")))
            ):
                break
            time.sleep(0.01)
        assert process.poll() is None, "it was over before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert run is not None
        assert json.loads((run / "status.json").read_text())["state"] == "running"
        assert len(list(run.glob("units/*.json"))) < 5
        assert not (cut / "runs/quickstart/latest").exists()
        done += rounds_in(run)
    resumed = run_of(cut)
    assert resumed is not None
    assert len(list(cut.glob("runs/quickstart/*Z"))) == 1
    assert len(weights_in(whole)) == 5
    assert weights_in(resumed) == weights_in(whole)
    left, right = (json.loads((run / "report.json").read_text()) for run in (whole, resumed))
    assert left["rows"] == right["rows"]
    assert left["config_sha256"] == right["config_sha256"]
    assert (cut / "runs/quickstart/latest").resolve() == resumed
