"""A run's state becomes files that a crash cannot tear, and comes back to the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fedcredit.errors import CheckpointError

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class RoundRecord:
    """What one round was: who took part, who was turned away and why, and what was learned of the incoming model."""

    round: int
    seconds: float
    institutions: list[str]
    quarantined: dict[str, str]
    missing: list[str]
    loss: float | None
    validation_auc: float | None
    per_institution: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class RunState:
    """Everything a run needs to go on after `round`: global arrays, the strategy's own arrays, the best so far."""

    round: int
    arrays: Arrays
    strategy: Arrays
    best_round: int | None
    best_auc: float | None
    best_arrays: Arrays | None
    history: list[RoundRecord]


def save(folder: Path, state: RunState, *, task_sha256: str) -> None:
    """Write the checkpoint of one round; the one before stays until the new one is complete on disk.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; the previous checkpoint is untouched.
    """
    groups = {"global": state.arrays, "strategy": state.strategy, "best": state.best_arrays or {}}
    tensors = {f"{g}/{n}": np.ascontiguousarray(a) for g, arrays in groups.items() for n, a in arrays.items()}
    facts = {
        "task_sha256": task_sha256,
        "round": state.round,
        "best_round": state.best_round,
        "best_auc": state.best_auc,
        "history": [vars(record) for record in state.history],
    }
    draft = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder))
        save_file(tensors, draft / "arrays.safetensors")
        (draft / "state.json").write_text(json.dumps(facts))
        for file in draft.iterdir():
            _sync(file)
        target = folder / f"round-{state.round:05d}"
        if target.exists():
            shutil.rmtree(target)
        draft.rename(target)
        _sync(folder)
    except (OSError, SafetensorError) as fault:  # safetensors wraps a full disk in an error of its own
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)
        raise CheckpointError(
            f"checkpoint of round {state.round} in {folder}",
            found=os.strerror(fault.errno) if isinstance(fault, OSError) and fault.errno else str(fault),
            expected="a folder with room to write",
            hint="free some space and run again with resume; the round before is still there",
        ) from fault
    for old in sorted(folder.glob("round-*"))[:-2]:
        shutil.rmtree(old, ignore_errors=True)


def load(folder: Path, *, task_sha256: str) -> RunState | None:
    """The newest readable checkpoint in `folder`, or None where there is none.

    Raises:
        CheckpointError: the newest checkpoint belongs to another task, or all of them are unreadable.
    """
    found = sorted(folder.glob("round-*"), reverse=True)
    for path in found:
        try:
            facts = json.loads((path / "state.json").read_text())
            tensors = load_file(path / "arrays.safetensors")
        except (OSError, ValueError, SafetensorError):
            continue
        if facts["task_sha256"] != task_sha256:
            raise CheckpointError(
                str(path),
                found="a checkpoint of another task",
                expected="the same settings and seed",
                hint="resume with the configuration the run was started with",
            )
        return _state(facts, tensors)
    if found:
        raise CheckpointError(
            str(folder), found="no readable checkpoint", expected="at least one whole round", hint="start the run again"
        )
    return None


def _state(facts: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> RunState:
    def group(name: str) -> dict[str, NDArray[Any]]:
        return {key.split("/", 1)[1]: value for key, value in tensors.items() if key.startswith(f"{name}/")}

    return RunState(
        round=facts["round"],
        arrays=group("global"),
        strategy=group("strategy"),
        best_round=facts["best_round"],
        best_auc=facts["best_auc"],
        best_arrays=group("best") or None,
        history=[RoundRecord(**record) for record in facts["history"]],
    )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
