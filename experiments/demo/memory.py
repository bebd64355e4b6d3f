"""Processes become megabytes: proportional set size, which counts a page that several share once in all."""

from __future__ import annotations

from pathlib import Path


def pss_mb(pid: int) -> float:
    """Proportional set size of one process, in MB of 2**20 bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def tree_pss_mb(pid: int) -> float:
    """The same for a process with all that it started."""
    below = {int(path.name): _parent(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
    found, new = {pid}, {pid}
    while new:
        new = {child for child, parent in below.items() if parent in new} - found
        found |= new
    return sum(_or_none(one) for one in found)


def _parent(path: Path) -> int:
    try:
        return int((path / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended meanwhile
        return 0


def _or_none(pid: int) -> float:
    try:
        return pss_mb(pid)
    except (OSError, StopIteration):
        return 0.0
