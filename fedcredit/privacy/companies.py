"""The companies of an institution's rows become batches: each company by a coin of its own, one row of it by lot."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedcredit.privacy.randomness import Stream


class Companies:
    """Which rows are whose; the company, and not the row, is the unit of privacy.

    However many rows a company has, it is in a batch with the same chance and brings one row.

    >>> companies = Companies(np.array(["b", "a", "b"]))
    >>> len(companies), sorted(companies.draw(1.0, random=Stream()).tolist())[0] in (0, 1)
    (2, True)
    """

    def __init__(self, company: NDArray[np.str_]) -> None:
        _, number, rows = np.unique(company, return_inverse=True, return_counts=True)
        self.order = np.argsort(number, kind="stable")
        self.rows = rows.astype(np.int64)
        self.first = self.rows.cumsum() - self.rows

    def __len__(self) -> int:
        return len(self.rows)

    def draw(self, sample_rate: float, *, random: Stream) -> Tensor:
        """Indices of rows (b,): a Poisson batch of companies at `sample_rate`, a uniformly drawn row of each."""
        drawn = np.flatnonzero(random.chosen(len(self.rows), chance=sample_rate))
        return torch.from_numpy(self.order[self.first[drawn] + random.below(self.rows[drawn])])
