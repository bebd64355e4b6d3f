"""The folder of a unit at the platform becomes what does not agree in it: status, log, checkpoints and result."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file

CHECKPOINT, FINAL, STATUS, RESULT, LOG = "checkpoint", "final", "status.json", "result.json", "log.txt"


def units(studies: Path) -> list[Path]:
    """Every unit's folder, STUDY/RUN/UNIT."""
    return sorted(path.parent for path in studies.glob(f"*/*/*/{STATUS}"))


def faults(unit: Path) -> Iterator[str]:
    """What does not agree; nothing where a crash, at any moment, lost nothing that was said to be done."""
    try:
        status = json.loads((unit / STATUS).read_text(encoding="utf-8"))
        rounds = int(status.get("round", 0))
    except (OSError, ValueError, TypeError, AttributeError) as fault:
        yield f"{STATUS} cannot be read ({type(fault).__name__})"
        return
    newest = _newest(unit / CHECKPOINT)
    # A round is checkpointed, then said to be done: between the two the checkpoint is one ahead.
    if not rounds <= newest <= rounds + 1:
        yield f"{rounds} rounds are said to be done, {newest} are checkpointed"
    told = _told(unit / LOG)
    if told < rounds:
        yield f"{rounds} rounds are done, the log tells of {told}"
    if status.get("state") == "succeeded":
        if _newest(unit / FINAL) != rounds:
            yield "it succeeded, and its final model is not there or not that of its last round"
        if not (unit / RESULT).is_file():
            yield f"it succeeded, and has no {RESULT}"


def _newest(folder: Path) -> int:
    """The last round with a whole checkpoint, 0 where there is none."""
    for path in sorted(folder.glob("round-*"), reverse=True):
        try:
            state: dict[str, Any] = json.loads((path / "state.json").read_text(encoding="utf-8"))
            load_file(path / "arrays.safetensors")
            if len(state["history"]) == state["round"] == int(path.name.removeprefix("round-")):
                return int(state["round"])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            continue
    return 0


def _told(log: Path) -> int:
    """The last round that the log tells of."""
    most = 0
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    for line in lines:
        try:
            most = max(most, int(json.loads(line.partition(" ")[2]).get("round", 0)))
        except (ValueError, TypeError, AttributeError):  # a line that a crash has cut
            continue
    return most
