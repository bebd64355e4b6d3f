"""What a study says while it runs: a bar on a terminal, plain lines elsewhere, and all of it in log.txt."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

log = logging.getLogger("fedcredit.study")


class Story:
    """Tells lines and counts finished units; results go to stdout, never through here."""

    def __init__(self, log_file: Path | None, *, total: int, title: str) -> None:
        self._console = Console(stderr=True)
        self._total, self._done, self._started = total, 0, time.monotonic()
        self._progress: Progress | None = None
        if self._console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            self._progress = Progress(*columns, console=self._console)
            self._task = self._progress.add_task(title, total=total)
        self._file = logging.FileHandler(log_file, encoding="utf-8") if log_file else None
        if self._file:
            self._file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def __enter__(self) -> Story:
        if self._file:
            logging.getLogger().addHandler(self._file)
            log.addHandler(self._file)
        log.propagate = False  # Opacus gives the root logger a handler of its own, which would say every line again
        log.setLevel(logging.INFO)
        if self._progress:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress:
            self._progress.stop()
        if self._file:
            logging.getLogger().removeHandler(self._file)
            log.removeHandler(self._file)
            self._file.close()

    def tell(self, line: str) -> None:
        """One line of the story."""
        log.info(line)
        if self._progress:
            self._progress.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - this is the story's one outlet

    def finished(self, what: str, *, seconds: float) -> None:
        """Count one more unit."""
        self._done += 1
        if self._progress:
            log.info("%s: %.1f s", what, seconds)
            self._progress.update(self._task, completed=self._done)
        else:
            self.tell(f"[{self._done}/{self._total}] {what}: {seconds:.1f} s")
