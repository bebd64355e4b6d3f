"""A desk's pointer becomes the models that answer: champion, challenger, shadow and the champion before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fedcredit.credit.scale import MASTER
from fedcredit.errors import ModelError
from fedcredit.models import bundle as bundles
from fedcredit.models.bundle import Bundle
from fedcredit.models.calibrated import calibrate
from server.scoring.policy import Policy
from server.scoring.rows import RowReader

POINTER, BUNDLES = "champion.json", "bundles"
MOST_BYTES = 64 * 1024
PARTS = ("champion", "challenger", "shadow", "previous")
GRADES = tuple(grade.name for grade in MASTER.grades)


@dataclass(frozen=True)
class Pointed:
    """A bundle by the digest of its manifest, and its registered version."""

    sha256: str
    version: str


@dataclass(frozen=True)
class Pointer:
    """What the desk's pointer names."""

    champion: Pointed
    challenger: Pointed | None = None
    shadow: Pointed | None = None
    previous: Pointed | None = None


def read_pointer(folder: Path) -> Pointer:
    """The pointer in a desk's folder. Raises ModelError if there is none that can be read."""
    path = folder / POINTER
    try:
        with path.open("rb") as file:
            raw = json.loads(file.read(MOST_BYTES))
        champion = _pointed(raw)
        if champion is None:
            raise ValueError("no champion")  # noqa: TRY301 - the same as any other text that is no pointer
        return Pointer(champion, *(_pointed(raw.get(part)) for part in PARTS[1:]))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        hint = "fedcredit model promote makes a champion"
        raise ModelError(path.name, found="no pointer", expected="the champion of a desk", hint=hint) from None


def _pointed(raw: Any) -> Pointed | None:
    if raw is None:
        return None
    found: Mapping[str, Any] = {"bundle_sha256": raw, "version": ""} if isinstance(raw, str) else raw
    sha256 = found.get("bundle_sha256")
    if not isinstance(sha256, str) or len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise ValueError("no digest")
    return Pointed(sha256, str(found.get("version", "")))


class Served:
    """One verified model, ready to score windows; it never changes, so a request keeps the one that it began with."""

    def __init__(self, bundle: Bundle, *, version: str, policy: Policy) -> None:
        self.bundle, self.version = bundle, version
        self.reader = RowReader(bundle, policy)
        self._model = bundle.model()
        self.scores(np.zeros((1, bundle.time, len(bundle.inputs)), dtype=np.float32))  # the first call is slow

    @property
    def sha256(self) -> str:
        """Of its manifest."""
        return self.bundle.sha256

    @property
    def model_version(self) -> str:
        """What scores are stamped with."""
        return self.bundle.version

    def scores(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Calibrated probabilities (n,) of windows (n, time, inputs); NaN where the model gives none."""
        with torch.inference_mode():
            logits = self._model(torch.from_numpy(x))
        p: NDArray[np.float64] = torch.sigmoid(logits.double()).numpy()
        return calibrate(p, self.bundle.calibration) if np.isfinite(p).all() else p


@dataclass(frozen=True)
class Lineup:
    """The models of one pointer."""

    champion: Served
    challenger: Served | None = None
    shadow: Served | None = None
    previous: Served | None = None

    def all(self) -> list[Served]:
        """Those that there are."""
        return [one for one in (self.champion, self.challenger, self.shadow, self.previous) if one is not None]


def load(folder: Path, pointed: Pointed, policy: Policy) -> Served:
    """The bundle of that digest, every file of it verified. Raises ModelError."""
    bundle = bundles.read(folder / BUNDLES / pointed.sha256)
    if bundle.sha256 != pointed.sha256:
        found, expected = f"a bundle {bundle.sha256[:12]}...", f"{pointed.sha256[:12]}..., as the desk says"
        raise ModelError(f"bundles/{pointed.sha256[:12]}", found=found, expected=expected)
    served = Served(bundle, version=pointed.version, policy=policy)
    trial = served.scores(np.zeros((1, bundle.time, len(bundle.inputs)), dtype=np.float32))
    if not np.isfinite(trial).all():
        raise ModelError(f"bundles/{pointed.sha256[:12]}", found="a score that is no number", expected="a probability")
    return served


def grade_of(pd: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index in GRADES of each probability."""
    return MASTER.place(pd)
