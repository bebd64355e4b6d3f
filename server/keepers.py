"""A part of the platform becomes a lock that its keeper holds: nothing runs twice, and every keeper can be found."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedcredit.errors import NodeError

PARTS = ("superlink", "superexec", "gateway")


@contextmanager
def alone(run: Path, only: str | None) -> Iterator[None]:
    """Hold the lock of the part, or of all parts.

    Raises:
        NodeError: somebody keeps one of them running already.
    """
    with contextlib.ExitStack() as held:
        for part in PARTS if only is None else (only,):
            held.enter_context(_held(run, part))
        yield


def keepers(run: Path) -> dict[str, int]:
    """The process that keeps each part running; parts that nobody keeps are not named."""
    found = {}
    for part in PARTS:
        path = _lock(run, part)
        with contextlib.suppress(FileNotFoundError), path.open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                said = file.read(20)
                if said.isdigit():  # else it is just starting
                    found[part] = int(said)
    return found


def _lock(run: Path, part: str) -> Path:
    return run / f"{part}.lock"


@contextmanager
def _held(run: Path, part: str) -> Iterator[None]:
    with _lock(run, part).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "fedcredit consortium status, or consortium stop"
            raise NodeError(str(run.parent), found=f"a {part} that runs", expected="none", hint=hint) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
