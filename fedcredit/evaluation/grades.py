"""Counts on the score grid become companies, defaults and the expected PD of each grade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.errors import ConfigError
from fedcredit.evaluation.grid import GRID, ScoreGrid


@dataclass(frozen=True)
class GradeCounts:
    """One entry for each grade, the safest first.

    pd: what is expected of the grade. For a grade without companies it is the PD of its middle, or the scale's.

    >>> counts = ScoreGrid(bins=4).count([0.1, 0.9, 0.9], [0, 1, 0])
    >>> grades = GradeCounts.from_grid(counts, [0.5], grid=ScoreGrid(bins=4))
    >>> grades.companies, grades.defaults, [round(pd, 3) for pd in grades.pd]
    ((1, 2), (0, 1), [0.119, 0.881])
    """

    names: tuple[str, ...]
    companies: tuple[int, ...]
    defaults: tuple[int, ...]
    pd: tuple[float, ...]

    def __post_init__(self) -> None:
        if len({len(self.names), len(self.companies), len(self.defaults), len(self.pd)}) != 1:
            raise ConfigError("grades", found="lists of different lengths", expected="one entry for each grade")
        for name, n, d, pd in zip(self.names, self.companies, self.defaults, self.pd, strict=True):
            if not 0 <= d <= n:
                raise ConfigError(f"grade {name}", found=f"{d} defaults of {n} companies", expected="0 to all of them")
            if not 0 < pd < 1:
                raise ConfigError(f"grade {name}", found=f"a PD of {pd}", expected="above 0, below 1")

    @staticmethod
    def from_grid(
        counts: ArrayLike,
        bounds: ArrayLike,
        *,
        grid: ScoreGrid = GRID,
        names: Sequence[str] | None = None,
        pd: Sequence[float] | None = None,
    ) -> GradeCounts:
        """The grades between the inner `bounds` (PDs, rising): one more than there are bounds.

        A bin belongs to the grade of its middle, so that every institution cuts in the same place. The PD of a grade
        is the mean over its companies, unless `pd` gives the scale's own.

        Raises ConfigError for bounds that do not rise, or so close that a grade has no bin.
        """
        good, bad = grid.check(counts)
        cuts = grid.cuts(bounds)
        edges = np.concatenate([[0], cuts, [grid.bins]])
        if not bool((np.diff(edges) > 0).all()):
            hint = "take a grid with more bins or a wider limit"
            raise ConfigError("grades, bounds", found="a grade without a bin", expected="rising PDs apart", hint=hint)
        starts = edges[:-1]
        n, d = (np.add.reduceat(side, starts) for side in (good + bad, bad))
        given = np.add.reduceat((good + bad) * grid.pd, starts)
        middle = np.add.reduceat(grid.pd, starts) / np.diff(edges)
        mean = np.divide(given, n, out=middle, where=n > 0) if pd is None else np.asarray(pd, dtype=np.float64)
        return GradeCounts(
            tuple(names) if names is not None else tuple(str(i + 1) for i in range(len(starts))),
            tuple(int(v) for v in np.rint(n)),
            tuple(int(v) for v in np.rint(d)),
            tuple(float(v) for v in mean),
        )

    @property
    def n(self) -> NDArray[np.float64]:
        return np.asarray(self.companies, dtype=np.float64)

    @property
    def d(self) -> NDArray[np.float64]:
        return np.asarray(self.defaults, dtype=np.float64)

    @property
    def expected(self) -> NDArray[np.float64]:
        """Defaults that the PDs say to expect."""
        return self.n * np.asarray(self.pd)

    def with_companies(self) -> GradeCounts:
        """Without the grades that nobody has."""
        kept = [i for i, n in enumerate(self.companies) if n]
        sides = (self.names, self.companies, self.defaults, self.pd)
        names, companies, defaults, pd = (tuple(side[i] for i in kept) for side in sides)
        return GradeCounts(names, companies, defaults, pd)  # type: ignore[arg-type]
