"""The name of a public set becomes checked files, then a table; the rows of the catalogue are in datasets.yaml."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

from fedcredit.data.fetch import fetch, mirror_folder
from fedcredit.data.schema import Table
from fedcredit.errors import DatasetError, TrapRefused

__all__ = ["Dataset", "File", "catalogue", "dataset", "load", "locate", "mirror_folder"]

RAW = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class File:
    """One pinned file: `path` in the upstream repository, `local` in the cache and in a mirror."""

    path: str
    local: str
    sha256: str


@dataclass(frozen=True)
class Dataset:
    """A row of the catalogue. `traps` maps a column that leaks the outcome to what was measured."""

    name: str
    title: str
    repository: str
    commit: str
    licence: str
    unit: str
    splits: str
    label: str
    files: Mapping[str, File]
    traps: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""
    bring_your_own: bool = False

    def address(self, file: str) -> str:
        """Where the file lives upstream, at the fixed commit."""
        return f"{RAW}/{self.repository}/{self.commit}/{self.files[file].path}"

    def refuse_traps(self, columns: Iterable[str]) -> None:
        """Refuse a list of columns that names a trap; capitals do not hide one.

        >>> dataset("sba").refuse_traps(["NoEmp", "term"])
        Traceback (most recent call last):
        fedcredit.errors.TrapRefused: sba, column 'term': found a leak of the outcome, expected what was known before
        hint: for a charged-off loan it runs to the charge-off; boosted trees score AUC .977 with it, .765 without
        """
        traps = {trap.casefold(): why for trap, why in self.traps.items()}
        for column in columns:
            if column.casefold() in traps:
                raise TrapRefused(
                    f"{self.name}, column {column!r}",
                    found="a leak of the outcome",
                    expected="what was known before",
                    hint=traps[column.casefold()],
                )


@cache
def catalogue() -> Mapping[str, Dataset]:
    """All public sets by name.

    >>> print(*sorted(catalogue()))
    american_w3 american_w4 default_credit_hetero default_credit_homo sba sba_time sbacase smesd
    """
    rows = yaml.safe_load(Path(__file__).with_name("datasets.yaml").read_text(encoding="utf-8"))
    return {
        name: Dataset(name=name, **{**row, "files": {file: File(**pin) for file, pin in row["files"].items()}})
        for name, row in rows.items()
    }


def dataset(name: str) -> Dataset:
    """The catalogue's row of one set."""
    if name not in catalogue():
        near = difflib.get_close_matches(name, catalogue(), n=1)
        hint = f"did you mean {near[0]}?" if near else ""
        raise DatasetError("data set", found=repr(name), expected=f"one of {', '.join(sorted(catalogue()))}", hint=hint)
    return catalogue()[name]


def load(name: str, *, columns: Sequence[str] | None = None, mirror: Path | None = None) -> Table:
    """The table of a public set, with all its features or the named ones in the order given.

    Raises `TrapRefused` where `columns` names a column that leaks the outcome, `DatasetError` where a file is missing
    or is not the pinned one.
    """
    known = dataset(name)
    known.refuse_traps(columns or ())
    files = {file: locate(name, file, mirror=mirror) for file in known.files}
    # A reader is imported when its set is asked for, so that one set's reader does not slow or break another's.
    if name in ("american_w3", "american_w4"):
        from fedcredit.data.public import american

        return american.read(name, files, columns=columns)
    if name in ("sba", "sba_time", "sbacase"):
        from fedcredit.data.public import sba

        return sba.read(name, files, columns=columns)
    if name == "smesd":
        from fedcredit.data.public import smesd

        return smesd.read(name, files, columns=columns)
    from fedcredit.data.public import default_credit

    return default_credit.read(name, files, columns=columns)


def locate(name: str, file: str, *, mirror: Path | None = None) -> Path:
    """The local path of a set's file, its sha256 checked: from the cache, a mirror or a download; see `fetch`."""
    known = dataset(name)
    if file not in known.files:
        raise DatasetError(name, found=f"file {file!r}", expected=f"one of {', '.join(known.files)}")
    pin = known.files[file]
    return fetch(pin.local, pin.sha256, address=known.address(file), mirror=mirror, is_free=not known.bring_your_own)
