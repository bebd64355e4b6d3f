"""A coordinator that was killed becomes the word `cut` in its unit's status.json, so that another is started at once.

Flower's SuperLink holds a dead coordinator for alive until its heartbeat is a minute late. Here each one holds a lock
as long as it lives, on a file that says where it works; a lock that nobody holds is one of a coordinator that died.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CUT = "cut"  # as a state: neither succeeded nor failed, and nobody at work


def notes_in(home: Path) -> Path:
    """The folder of the notes, in the consortium's."""
    return home / "run" / "coordinators"


@contextmanager
def at_work(notes: Path, *, flower_run: int, status: Path) -> Iterator[None]:
    """Note that this process coordinates the run, until the block is left."""
    notes.mkdir(mode=0o700, parents=True, exist_ok=True)
    note, draft = notes / str(flower_run), notes / f".{flower_run}.{os.getpid()}"
    with draft.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # before it has its name: a note without a lock is of a dead coordinator
        file.write(str(status))
        file.flush()
        draft.replace(note)
        try:
            yield
        finally:
            note.unlink(missing_ok=True)


def mark_cut(notes: Path) -> list[int]:
    """Write `cut` where a coordinator has died, and give the Flower runs of these."""
    found = []
    for note in sorted(path for path in notes.glob("*") if path.name.isdigit()):
        with contextlib.suppress(FileNotFoundError, BlockingIOError), note.open("r", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # else its coordinator lives
            if not note.exists():  # it ended by itself, between two of these lines
                continue
            _mark(Path(file.read()), flower_run=int(note.name))
            note.unlink(missing_ok=True)
            found.append(int(note.name))
    return found


def write_whole(path: Path, facts: dict[str, Any]) -> None:
    """Write the facts as JSON, all or nothing, and to the disk."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(facts, file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _mark(status: Path, *, flower_run: int) -> None:
    try:
        said = json.loads(status.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if said.get("flower_run") == flower_run and said.get("state") in ("gathering", "running"):
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        write_whole(status, {**said, "state": CUT, "updated": now})
