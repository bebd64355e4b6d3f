"""What a validation was asked for becomes what it would read, compute and write, and none of it is done."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcredit.errors import TableError
from server.promotion.approvals import approval_path
from server.promotion.evidence import FIGURES
from server.promotion.subject import desk_of
from server.scoring.places import BOOK
from server.validation.files import settings
from server.validation.measured import Asked
from server.validation.runs import find, run_of, unit_of
from server.validation.sections import SECTIONS
from server.validation.validate import paths_of

RUN_FILES = ("config.yaml", "report.json", "predictions.parquet")
DESK_FILES = ("history.jsonl", "gates.json", BOOK)


@dataclass(frozen=True)
class Plan:
    """reads: files with their bytes. writes: files, and whether one stands there already."""

    model: str
    reads: Mapping[str, int]
    computes: Mapping[str, Any]
    writes: Mapping[str, bool]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        writes = [{"path": path, "is_there": is_there} for path, is_there in self.writes.items()]
        reads = [{"path": path, "bytes": size} for path, size in self.reads.items()]
        return {"dry_run": True, "model": self.model, "reads": reads, "computes": self.computes, "writes": writes}

    def lines(self) -> list[str]:
        """For people."""
        told = self.computes
        against = told["against"] or "no champion"
        return [
            *(f"would read     {path}  {size:,} bytes" for path, size in self.reads.items()),
            f"would compute  {len(told['figures'])} figures and {len(told['sections'])} sections of {self.model}, "
            f"split {told['split']}, {told['draws']} bootstrap draws, against {against}",
            *(f"would write    {path}{'  (is there)' if is_there else ''}" for path, is_there in self.writes.items()),
        ]


def plan(model: str, *, runs: Path, asked: Asked, out: Path | None = None) -> Plan:
    """Finds the model, its run and every file that was named; nothing is computed and nothing is written.

    Raises:
        ModelError: there is no such model, or champion.
        RunError: no run has the model's weights.
        TableError: a file that was named is not there.
        PolicyRefused: the model's desk was edited by hand.
    """
    subject = find(model, runs=runs)
    run = run_of(subject, runs=runs)
    unit = unit_of(subject.bundle, run)
    desk = desk_of(subject.name, runs=runs)
    champion = None if asked.alone else desk.champion()
    over = asked.against or (str(desk.bundle(champion.bundle_sha256)) if champion else None)
    files = [subject.folder, *(run / name for name in RUN_FILES), *sorted((run / "units").glob(f"{unit}.*"))]
    on_desk = [*(desk.folder / name for name in DESK_FILES), approval_path(desk, subject.bundle.sha256)]
    files += [path for path in on_desk if path.is_file()]
    if over is not None:
        other = find(over, runs=runs)
        files += [other.folder, run_of(other, runs=runs) / "predictions.parquet"]
    named = [asked.applicants, asked.table, asked.counts, asked.overrides]
    writes = paths_of(subject.name, subject.bundle.sha256, runs=runs, out=out)
    return Plan(
        model=str(subject),
        reads=dict(_sizes([*files, *(path for path in named if path is not None)])),
        computes={
            "split": settings(run / "config.yaml").evaluation.headline,
            "figures": list(FIGURES),
            "sections": [*SECTIONS, "law"],
            "draws": asked.draws,
            "against": over,
        },
        writes={str(path): path.exists() for path in writes.values()},
    )


def _sizes(paths: list[Path]) -> Iterator[tuple[str, int]]:
    """Bytes of each file, of a folder those of all files in it."""
    for path in dict.fromkeys(paths):
        try:
            size = sum(one.stat().st_size for one in path.iterdir()) if path.is_dir() else path.stat().st_size
        except OSError as fault:
            found = os.strerror(fault.errno or 0)
            raise TableError(str(path), found=found, expected="a file that can be read") from fault
        yield str(path), size
