"""What was spent is on disk before it is spent, and no crash makes it less."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from fedcredit.errors import CheckpointError
from fedcredit.privacy.accounting import Step, epsilon_spent
from fedcredit.privacy.spend import SPEND_FILE, charge, read_spend
from tests.conftest import small_files

STEP = Step(noise_multiplier=2.0, sample_rate=0.1, steps=3)


def test_nothing_is_spent_at_first(tmp_path: Path) -> None:
    assert read_spend(tmp_path) == []


def test_charges_add_up_in_order(tmp_path: Path) -> None:
    other = Step(noise_multiplier=1.5, sample_rate=0.2)
    charge(tmp_path, STEP, number=1)
    charge(tmp_path, other, number=2)
    assert read_spend(tmp_path) == [STEP, other]


def test_a_round_that_is_run_again_is_charged_again(tmp_path: Path) -> None:
    for _ in range(2):
        charge(tmp_path, STEP, number=1)
    assert read_spend(tmp_path) == [STEP, STEP]
    assert epsilon_spent(read_spend(tmp_path), delta=1e-5) > epsilon_spent([STEP], delta=1e-5)


@pytest.mark.parametrize("kept", [1, 7, 30, -1])
def test_a_torn_line_swallows_no_later_charge(kept: int, tmp_path: Path) -> None:
    charge(tmp_path, STEP, number=1)
    path = tmp_path / SPEND_FILE
    line = path.read_text()
    path.write_text(line + line[:kept])  # the machine died while round 2 was written
    charge(tmp_path, STEP, number=2)
    charge(tmp_path, STEP, number=3)
    # With -1 the torn line lacks only its newline: it may have trained, so it counts.
    assert read_spend(tmp_path) == [STEP] * (4 if kept == -1 else 3)


def test_a_file_that_cannot_grow_refuses_the_charge(tmp_path: Path) -> None:
    charge(tmp_path, STEP, number=1)
    with small_files(), pytest.raises(CheckpointError, match="File too large") as caught:
        charge(tmp_path, STEP, number=2)
    assert "nothing was trained" in caught.value.hint
    assert read_spend(tmp_path) == [STEP]


def test_a_full_disk_refuses_the_charge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        charge(tmp_path, STEP, number=1)


def test_a_line_says_the_round_and_the_noise_and_nothing_else(tmp_path: Path) -> None:
    charge(tmp_path, STEP, number=4)
    assert json.loads((tmp_path / SPEND_FILE).read_text()) == {
        "round": 4,
        "noise_multiplier": 2.0,
        "sample_rate": 0.1,
        "steps": 3,
    }
