"""What a run has spent at one institution: a line a round, on disk before the round touches a row.

The run's accountant continues across rounds because it is rebuilt from these lines: Flower's own example makes a new
accountant in every round and so reports the spend of one.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from fedcredit.errors import CheckpointError
from fedcredit.privacy.accounting import Step

SPEND_FILE = "spend.jsonl"


def charge(folder: Path, step: Step, *, number: int) -> None:
    """Append one round's noisy steps and wait until they are on disk.

    A round that is run again after a crash is charged again: both of its updates may have left.

    Raises:
        CheckpointError: the line could not be written; the caller must not train.
    """
    line = json.dumps({"round": number, **asdict(step)}) + "\n"
    try:
        with (folder / SPEND_FILE).open("a+b") as file:
            # A line that a crash tore must not swallow this one.
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
            file.write((b"" if file.read() in (b"", b"\n") else b"\n") + line.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as fault:
        raise CheckpointError(
            str(folder / SPEND_FILE),
            found=os.strerror(fault.errno) if fault.errno else type(fault).__name__,
            expected="room for one line",
            hint="nothing was trained; free some space and resume",
        ) from fault


def read_spend(folder: Path) -> list[Step]:
    """Every charged round, oldest first; a torn line (a crash while writing, so before training) is left out.

    Raises:
        CheckpointError: the file is there and cannot be read; what was spent is then unknown, so nothing may train.
    """
    path = folder / SPEND_FILE
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as fault:
        raise CheckpointError(str(path), found=type(fault).__name__, expected="the lines that were charged") from fault
    steps = []
    for line in text.splitlines():
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        steps.append(Step(fields["noise_multiplier"], fields["sample_rate"], fields["steps"]))
    return steps
