"""This machine becomes a short report: what a platform must know before it sends software, and nothing else."""

from __future__ import annotations

import os
import platform
import shutil
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fedcredit.trust.joining import Environment

GIB = 1024**3


def environment(folder: Path) -> Environment:
    """Versions, processors, memory, free space of the disk that holds `folder`, and the clock; no name of the machine.

    >>> environment(Path(".")).cpus > 0
    True
    """
    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        fedcredit=version_of("fedcredit"),
        flwr=version_of("flwr"),
        torch=version_of("torch"),
        cpus=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB, 1),
        disk_free_gib=round(free_bytes(folder) / GIB, 1),
        clock_utc=datetime.now(UTC),
    )


def version_of(package: str) -> str:
    """The installed version of a package, read without importing it; empty where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def free_bytes(folder: Path) -> int:
    """What this user may still write to the disk that holds the folder."""
    return shutil.disk_usage(folder).free
