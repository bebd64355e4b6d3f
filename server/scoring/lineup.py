"""The bundles that a desk names become the models that answer: champion, challenger, shadow, the champion before."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedcredit.credit.scale import MASTER
from fedcredit.errors import ModelError
from fedcredit.models import bundle as bundles
from fedcredit.models.bundle import Bundle
from fedcredit.models.calibrated import calibrate
from server.promotion.history import Promoted
from server.scoring.policy import Policy
from server.scoring.rows import RowReader

TRIED, MOST_APART = 16, 1e-6  # windows, and logits
GRADES = tuple(grade.name for grade in MASTER.grades)


class Served:
    """One verified model, ready to score windows; it never changes, so a request keeps the one that it began with."""

    def __init__(self, bundle: Bundle, *, version: str, policy: Policy) -> None:
        self.bundle, self.version = bundle, version
        self.reader = RowReader(bundle, policy)
        self._model = bundle.model()
        self._single = _recorded(self._model, (1, bundle.time, len(bundle.inputs))) or self._model
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
            logits = (self._single if len(x) == 1 else self._model)(torch.from_numpy(x))
        p: NDArray[np.float64] = torch.sigmoid(logits.double()).numpy()
        is_number = np.isfinite(p)
        p[is_number] = calibrate(p[is_number], self.bundle.calibration)
        return p


def _recorded(model: nn.Module, shape: tuple[int, int, int]) -> nn.Module | None:
    """The model's operations on one window without Python between them, which halves its time; None where they differ.

    A recording holds the size of what it was made with, so it serves single windows only.
    """
    windows = torch.from_numpy(np.random.default_rng(0).normal(size=(TRIED, *shape[1:])).astype(np.float32))
    windows[:, :, -1] = 1.0
    windows[0], windows[1, : shape[1] // 2] = 0.0, 0.0  # nothing known; a short history
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(model, windows[:1])  # type: ignore[no-untyped-call]
            recorded: nn.Module = torch.jit.freeze(traced)
            found = torch.cat([recorded(one[None]) for one in windows])
        with torch.inference_mode():
            is_same = torch.allclose(found, model(windows), rtol=0.0, atol=MOST_APART)
    except (RuntimeError, TypeError, ValueError):
        return None
    return recorded if is_same else None


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


def load(folder: Path, promoted: Promoted, policy: Policy) -> Served:
    """The bundle in its folder, every file of it verified, after it has scored once. Raises ModelError."""
    bundle = bundles.read(folder)
    place = f"bundle {promoted.bundle_sha256[:12]}"
    if bundle.sha256 != promoted.bundle_sha256:
        raise ModelError(place, found=f"a bundle {bundle.sha256[:12]}", expected="the one that the desk names")
    served = Served(bundle, version=promoted.version, policy=policy)
    trial = served.scores(np.zeros((1, bundle.time, len(bundle.inputs)), dtype=np.float32))
    if not np.isfinite(trial).all():
        raise ModelError(place, found="a score that is no number", expected="a probability")
    return served


def grade_of(pd: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index in GRADES of each probability."""
    return MASTER.place(pd)
