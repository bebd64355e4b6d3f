"""A checkpoint is whole or not there, and belongs to one task."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from fedcredit.errors import CheckpointError
from fedcredit.federation import checkpoint
from fedcredit.federation.checkpoint import RoundRecord, RunState

RECORD = RoundRecord(1, 0.5, ["a"], {"b": "shape"}, ["c"], 0.7, 0.8, {"a": {"num-examples": 3.0}})


def state(number: int) -> RunState:
    return RunState(
        number, {"w": np.full(3, number, np.float32)}, {"m_t/w": np.ones(3)}, 1, 0.8, {"w": np.ones(3)}, [RECORD]
    )


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, state(1), task_sha256="t")
    back = checkpoint.load(tmp_path, task_sha256="t")
    assert back is not None
    assert back.history == [RECORD]
    assert (back.round, back.best_round, back.best_auc) == (1, 1, 0.8)
    np.testing.assert_array_equal(back.arrays["w"], np.full(3, 1, np.float32))
    np.testing.assert_array_equal(back.strategy["m_t/w"], np.ones(3))


def test_there_is_nothing_to_load_at_first(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path / "none", task_sha256="t") is None


def test_a_torn_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    for number in (1, 2):
        checkpoint.save(tmp_path, state(number), task_sha256="t")
    torn = tmp_path / "round-00002" / "arrays.safetensors"
    torn.write_bytes(torn.read_bytes()[:20])
    back = checkpoint.load(tmp_path, task_sha256="t")
    assert back is not None
    assert back.round == 1


def test_only_the_last_two_rounds_are_kept(tmp_path: Path) -> None:
    for number in range(1, 6):
        checkpoint.save(tmp_path, state(number), task_sha256="t")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["round-00004", "round-00005"]


def test_a_checkpoint_of_another_task_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, state(1), task_sha256="t")
    with pytest.raises(CheckpointError, match="another task"):
        checkpoint.load(tmp_path, task_sha256="u")


def test_unreadable_checkpoints_are_refused_rather_than_started_over(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, state(1), task_sha256="t")
    (tmp_path / "round-00001" / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match="no readable checkpoint"):
        checkpoint.load(tmp_path, task_sha256="t")


def test_a_full_disk_leaves_the_round_before_untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, state(1), task_sha256="t")

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(CheckpointError, match="No space left on device") as caught:
        checkpoint.save(tmp_path, state(2), task_sha256="t")
    assert "free some space" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["round-00001"]
