"""Small institutions on disk, and the nodes that serve them, for tests that send real Flower messages."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before numpy and torch: two workers with two threads each would wait for each other on two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

from fedcredit.data.windows import Windows, save

MIRROR = Path(__file__).resolve().parents[2] / "shared" / "data"
if MIRROR.is_dir():  # as in the Makefile
    os.environ.setdefault("FEDCREDIT_DATA_MIRROR", str(MIRROR))

# An example during which the machine stands still for a moment is no slow one.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

FEATURES = ("debt", "cash", "growth")


def make_windows(institution: str, *, n: int = 120, time: int = 3, seed: int = 0) -> Windows:
    """Synthetic companies whose default depends on debt and cash; a third of them validation."""
    rng = np.random.default_rng([seed, *institution.encode()])
    x = rng.normal(size=(n, time, len(FEATURES))).astype(np.float32)
    y = (x[:, :, 0].sum(1) - x[:, :, 1].sum(1) + rng.normal(size=n) > 1.0).astype(np.float32)
    return Windows(
        x=x,
        y=y,
        company=np.array([f"{institution}-{i}" for i in range(n)]),
        institution=np.full(n, institution),
        split=np.array(["train", "train", "validation"] * n)[:n],
        features=FEATURES,
        about=pd.DataFrame(index=range(n)),
        schema_sha256="s" * 64,
    )


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test charges the ledger of whoever runs it."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("FEDCREDIT_HOME", str(home))
    return home


@dataclass(frozen=True)
class Nodes:
    """node_config of each institution, as its operator would set it."""

    configs: list[dict[str, Any]]
    windows: list[Windows]


@pytest.fixture
def nodes(tmp_path: Path) -> Callable[..., Nodes]:
    """A maker of institutions bank-0 .. bank-(k-1)."""

    def make(k: int = 3, **facts: Any) -> Nodes:
        configs, parts = [], []
        for number in range(k):
            name = f"bank-{number}"
            windows = make_windows(name, n=90 + 30 * number)
            save(windows, tmp_path / f"{name}.npz")
            parts.append(windows)
            configs.append(
                {
                    "institution": name,
                    "windows": str(tmp_path / f"{name}.npz"),
                    "state": str(tmp_path / f"state-{name}"),
                    "label-definition": "90 dpd",
                    "ledger": str(tmp_path / f"ledger-{name}.sqlite"),
                    **facts,
                }
            )
        return Nodes(configs, parts)

    return make


def later(path: Path) -> None:
    """As if the file had been written a moment later: no hand is so quick, but a test may be in the same clock tick."""
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 20_000_000))


@contextmanager
def small_files(most: int = 80) -> Iterator[None]:
    """No file of this process grows beyond `most` bytes, not even the one that pytest may write to: so, briefly."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
