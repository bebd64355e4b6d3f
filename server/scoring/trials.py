"""Live requests become counts of how far another model's grades lie from those answered; no company is kept.

Off the hot path: requests wait in a bounded queue for one thread, and what finds it full is counted as left out.
"""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import FedCreditError
from fedcredit.trust.files import write_whole
from server.scoring.lineup import GRADES, Served, grade_of
from server.scoring.messages import Row

MOST_WAITING, SAVE_SECONDS, MOST_BYTES = 2000, 10.0, 64 * 1024
MIDDLE = len(GRADES) - 1
log = logging.getLogger(__name__)


@dataclass
class Counts:
    """notches[MIDDLE + d]: how often the trial's grade was d notches worse than the champion's."""

    notches: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2 * MIDDLE + 1, dtype=np.int64))
    failed: int = 0
    left_out: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Differences that were seen, by their size, with the two other counts."""
        seen = {str(k - MIDDLE): int(self.notches[k]) for k in np.flatnonzero(self.notches)}
        compared = int(self.notches.sum())
        near = int(self.notches[MIDDLE - 1 : MIDDLE + 2].sum())
        within = round(near / compared, 6) if compared else None
        return {
            "compared": compared,
            "worse_by_notches": seen,
            "within_one_notch": within,
            "failed": self.failed,
            "left_out": self.left_out,
        }


def takes(company: str, challenger: Served, share: float) -> bool:
    """Whether the challenger answers for this company: always the same, as long as the challenger is."""
    if share <= 0.0:
        return False
    digest = hashlib.sha256(f"{challenger.sha256}/{company}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


class Trials:
    """Counts of trials by the digest of the model under trial, kept in files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counts: dict[str, Counts] = {}
        self._queue = queue.Queue[tuple[str, Served, Sequence[Row], int, int] | None](MOST_WAITING)
        self._saved = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="trials", daemon=True)

    def start(self) -> None:
        """Compare from now on."""
        self._thread.start()

    def close(self) -> None:
        """Compare what waits, and save."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        self._save()

    def compare(self, trial: Served, other: Served, rows: Sequence[Row], grade: int) -> None:
        """Count the trial against a grade: `other` is the model that has not answered, which may be the champion."""
        sign = 1 if other is trial else -1
        try:
            self._queue.put_nowait((trial.sha256, other, rows, grade, sign))
        except queue.Full:
            self.of(trial.sha256).left_out += 1

    def of(self, sha256: str) -> Counts:
        """The counts of a model under trial."""
        found = self._counts.get(sha256)
        if found is None:
            found = self._counts.setdefault(sha256, self._read(sha256))
        return found

    def _work(self) -> None:
        while (one := self._queue.get()) is not None:
            sha256, other, rows, grade, sign = one
            counts = self.of(sha256)
            try:
                p = other.scores(other.reader.read(rows).x[None])
                away = sign * (int(grade_of(p)[0]) - grade)
                counts.notches[MIDDLE + away] += 1
            except (FedCreditError, RuntimeError, ValueError):
                counts.failed += 1
            if time.monotonic() > self._saved + SAVE_SECONDS:
                self._save()

    def _save(self) -> None:
        self._saved = time.monotonic()
        for sha256, counts in list(self._counts.items()):
            told = {"notches": counts.notches.tolist(), "failed": counts.failed, "left_out": counts.left_out}
            try:
                write_whole(self._folder / f"{sha256}.json", json.dumps(told).encode())
            except OSError:
                log.warning("the counts of a trial were not saved")

    def _read(self, sha256: str) -> Counts:
        try:
            with (self._folder / f"{sha256}.json").open("rb") as file:
                told = json.loads(file.read(MOST_BYTES))
            counts = Counts(np.array(told["notches"], dtype=np.int64), int(told["failed"]), int(told["left_out"]))
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return Counts()
        return counts if counts.notches.shape == (2 * MIDDLE + 1,) and (counts.notches >= 0).all() else Counts()
