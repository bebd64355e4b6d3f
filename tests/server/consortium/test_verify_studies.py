"""A unit's folder: what a crash may leave is fine, what is lost is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fedcredit.federation import checkpoint
from fedcredit.federation.checkpoint import RoundRecord, RunState
from server.consortium.verify_studies import faults, units


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Three rounds, finished."""
    folder = tmp_path / "studies" / "trial" / "run-1" / "unit"
    history = [RoundRecord(number, 0.1, ["a"], {}, [], None, None) for number in (1, 2, 3)]
    for number in (2, 3):
        state = RunState(number, {"w": np.ones(2, np.float32)}, {}, None, None, None, history[:number])
        checkpoint.save(folder / "checkpoint", state, task_sha256="t")
    checkpoint.save(folder / "final", state, task_sha256="t")
    (folder / "result.json").write_text("{}")
    say(folder, "succeeded", 3)
    lines = [f"2026-11-24T00:00:0{number} " + json.dumps({"state": "running", "round": number}) for number in (1, 2, 3)]
    (folder / "log.txt").write_text("\n".join([*lines, "2026-11-24T00:00:04 {torn"]))
    return folder


def say(unit: Path, state: str, number: int) -> None:
    (unit / "status.json").write_text(json.dumps({"state": state, "round": number}))


def test_finished_unit_agrees_with_itself(unit: Path) -> None:
    assert units(unit.parents[2]) == [unit]
    assert list(faults(unit)) == []


def test_coordinator_that_died_between_checkpoint_and_status_lost_nothing(unit: Path) -> None:
    say(unit, "cut", 2)
    assert list(faults(unit)) == []


def test_lost_checkpoint_is_named(unit: Path) -> None:
    (unit / "checkpoint" / "round-00003" / "arrays.safetensors").write_bytes(b"cut")
    (unit / "checkpoint" / "round-00002" / "state.json").unlink()
    assert list(faults(unit)) == ["3 rounds are said to be done, 0 are checkpointed"]


def test_log_that_lost_a_round_is_named(unit: Path) -> None:
    (unit / "log.txt").write_text('2026 {"round": 2}\n')
    assert list(faults(unit)) == ["3 rounds are done, the log tells of 2"]


def test_success_without_its_model_or_result_is_named(unit: Path) -> None:
    (unit / "result.json").unlink()
    (unit / "final" / "round-00003" / "state.json").write_text("{}")
    assert len(list(faults(unit))) == 2


def test_status_that_cannot_be_read_is_named(unit: Path) -> None:
    (unit / "status.json").write_text("[")
    assert list(faults(unit)) == ["status.json cannot be read (JSONDecodeError)"]
