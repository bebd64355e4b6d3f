"""Model inputs: one window of numbers for each example, with what is needed to split, group and judge it."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcredit.errors import TableError

SPLITS = ("train", "validation", "test")
CUT_BY = ("period", "size", "sector", "region", "stratum")  # columns of `about` by which rows may be counted


@dataclass(frozen=True)
class Windows:
    """Examples ready for a model.

    x: (n, time, features) float32, finite; time is 1 for a table with one row a company.
    y: (n,) float32, 0 or 1. company, institution, split: (n,) str arrays; a company may have several examples.
    features: names of the last axis of x. about: frame of n rows with the columns that the table has of
    `period, incumbent, amount, size, sector, region, stratum`.
    schema_sha256: digest of the table's agreed schema. level: the highest JR/T 0197-2020 level of its features.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    company: NDArray[np.str_]
    institution: NDArray[np.str_]
    split: NDArray[np.str_]
    features: tuple[str, ...]
    about: pd.DataFrame
    schema_sha256: str
    level: int = 3

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Windows:
        """The chosen rows (a mask or positions), in the order given."""
        return replace(
            self,
            x=self.x[rows],
            y=self.y[rows],
            company=self.company[rows],
            institution=self.institution[rows],
            split=self.split[rows],
            about=self.about.iloc[np.flatnonzero(rows) if rows.dtype == bool else rows].reset_index(drop=True),
        )

    def of(self, institution: str) -> Windows:
        """The rows of one institution."""
        return self.take(self.institution == institution)

    def part(self, *splits: str) -> Windows:
        """The rows of the named splits."""
        return self.take(np.isin(self.split, splits))

    @property
    def institutions(self) -> list[str]:
        """Names of the institutions, sorted."""
        return sorted(set(self.institution.tolist()))


def join(parts: Sequence[Windows]) -> Windows:
    """All rows of the parts, which must share features and schema."""
    first = parts[0]
    return replace(
        first,
        x=np.concatenate([p.x for p in parts]),
        y=np.concatenate([p.y for p in parts]),
        company=np.concatenate([p.company for p in parts]),
        institution=np.concatenate([p.institution for p in parts]),
        split=np.concatenate([p.split for p in parts]),
        about=pd.concat([p.about for p in parts], ignore_index=True),
        level=max(p.level for p in parts),
    )


def digest(windows: Windows) -> str:
    """sha256 of every number and name that a model or a judgement sees, in the order of the rows."""
    found = hashlib.sha256()
    for part in (windows.x, windows.y, windows.company, windows.institution, windows.split):
        found.update(f"{part.dtype.kind}{part.shape}".encode())
        found.update(np.ascontiguousarray(part).tobytes() if part.dtype.kind == "f" else "\0".join(part).encode())
    return found.hexdigest()


def save(windows: Windows, path: Path) -> None:
    """Write one institution's windows as an .npz without pickle; of `about` only the columns CUT_BY go along."""
    cuts = [name for name in CUT_BY if name in windows.about]
    kept: dict[str, Any] = {
        f"about_{name}": windows.about[name].astype("str").to_numpy().astype(np.str_) for name in cuts
    }
    np.savez(
        path,
        x=windows.x,
        y=windows.y,
        company=windows.company.astype(np.str_),
        institution=windows.institution.astype(np.str_),
        split=windows.split.astype(np.str_),
        features=np.asarray(windows.features, dtype=np.str_),
        schema_sha256=np.asarray(windows.schema_sha256),
        level=np.asarray(windows.level),
        **kept,
    )


def load(path: Path) -> Windows:
    """The windows that `save` wrote; of `about` there are the columns CUT_BY, as text, as far as the table had them.

    Raises:
        TableError: the file is missing, or is not what `save` wrote.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            parts = {name: held[name] for name in held.files}
        kept = {name: parts.pop(f"about_{name}") for name in CUT_BY if f"about_{name}" in parts}
        about = pd.DataFrame(kept, index=range(len(parts["y"])))
        features = tuple(parts.pop("features").tolist())
        facts = {"schema_sha256": str(parts["schema_sha256"]), "level": int(parts.get("level", 3))}
        return Windows(**{**parts, "features": features, "about": about, **facts})
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as fault:
        raise TableError(str(path), found="no readable windows", expected="a file written by `save`") from fault
