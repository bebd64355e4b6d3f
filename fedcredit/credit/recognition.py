"""A region's own grades become grades of the master scale: by the defaults in them, or by rank where there are none.

What a region hands over are counts of companies and defaults in each of its own grades. They add over its
institutions, so a masked sum of them gives the same table as rows in one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, ndtri

from fedcredit.credit.fitting import logistic
from fedcredit.credit.scale import MASTER, MasterScale
from fedcredit.errors import ConfigError
from fedcredit.evaluation.proportions import jeffreys

Method = Literal["defaults", "rank"]
Floats = NDArray[np.float64]

MAX_GRADES = 1000
LEAST_DEFAULTS = 20  # under these the two numbers of the curve say little: then ranks are taken


@dataclass(frozen=True)
class OwnScale:
    """What a region publishes: its grades from the safest on, and how many good and bad companies are in each.

    bad is None where outcomes are not known (a young scale). among: whose companies were counted, where these are not
    its own: the same grade can be worth more where fewer companies fail.
    """

    region: str
    grades: tuple[str, ...]
    companies: tuple[int, ...]
    bad: tuple[int, ...] | None
    among: str = ""

    def __post_init__(self) -> None:
        where = f"scale of {self.region[:40]!r}"
        if not 2 <= len(self.grades) <= MAX_GRADES or len(set(self.grades)) != len(self.grades):
            found, expected = f"{len(self.grades)} grades", f"2 to {MAX_GRADES}, each name once"
            raise ConfigError(where, found=found, expected=expected)
        bad = self.bad if self.bad is not None else (0,) * len(self.grades)
        if not len(self.grades) == len(self.companies) == len(bad):
            raise ConfigError(where, found="lists of different lengths", expected="one count for each grade")
        if any(
            type(n) is not int or type(d) is not int or not 0 <= d <= n
            for n, d in zip(self.companies, bad, strict=True)
        ):
            raise ConfigError(where, found="what is no count", expected="whole numbers, defaults at most companies")
        if not sum(self.companies):
            raise ConfigError(where, found="no companies", expected="some in its grades")

    @property
    def defaults(self) -> int:
        """All of them; 0 where outcomes are not known."""
        return sum(self.bad or ())


@dataclass(frozen=True)
class Row:
    """One own grade: its master grade, its PD, and the 95 % Jeffreys interval of its own default rate where known."""

    own: str
    master: str
    pd: float
    low: float | None
    high: float | None
    companies: int
    bad: int | None


@dataclass(frozen=True)
class Recognition:
    """A region's scale as seen on the master scale; `method` says whether defaults or ranks carried it.

    among: the region whose companies it holds for.
    """

    region: str
    among: str
    scale: str
    method: Method
    rows: tuple[Row, ...]

    def row(self, own: str) -> Row:
        """What an own grade is worth.

        Raises:
            ConfigError: the table has no such grade.
        """
        for one in self.rows:
            if one.own == own:
                return one
        raise ConfigError(f"table of {self.region}", found=repr(own[:40]), expected="one of the region's grades")

    @property
    def pds(self) -> Floats:
        """The PD of each own grade, the safest first."""
        return np.array([row.pd for row in self.rows])

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        rows = [{name: getattr(row, name) for name in Row.__dataclass_fields__} for row in self.rows]
        head = {"region": self.region, "among": self.among, "scale": self.scale, "method": self.method}
        return head | {"rows": rows}


def recognise(own: OwnScale, *, reference: Recognition | None = None, scale: MasterScale = MASTER) -> Recognition:
    """The region's table: from its own defaults, or where these are under 20 by rank against a region that has them.

    By defaults, the log-odds of default are a straight line in the normal score of a grade's place among all
    companies (two numbers fitted to the counts by maximum likelihood; the form of Tasche, "Estimating discriminatory
    power and PD curves when the number of defaults is small", 2009). So a thin grade borrows from its neighbours, and
    PDs rise with the grades. By rank (equipercentile), a grade takes the mean PD of the same percentiles of the
    reference region: that says both regions' companies are as risky as each other, which nobody can check without
    defaults.

    >>> own = OwnScale("north", ("good", "middle", "bad"), (500, 300, 200), (5, 15, 50))
    >>> [(row.own, row.master, round(row.pd, 3)) for row in recognise(own).rows]
    [('good', 'BBB', 0.008), ('middle', 'B+', 0.057), ('bad', 'CCC', 0.245)]

    Raises:
        ConfigError: too few defaults and no reference, or worse grades that default less than better ones.
        ModelError: the curve has no finite answer.
    """
    if own.defaults >= LEAST_DEFAULTS and own.bad is not None:
        method: Method = "defaults"
        pds = _curve(own)
    elif reference is not None and reference.method == "defaults":
        method = "rank"
        pds = _by_rank(own, reference)
    else:
        found = f"{own.defaults} defaults" if own.bad is not None else "no outcomes"
        hint = "name a region whose table rests on defaults, and say why its companies are alike"
        expected = f"{LEAST_DEFAULTS} defaults or a reference region"
        raise ConfigError(f"scale of {own.region}", found=found, expected=expected, hint=hint)
    names = scale.names(pds).tolist()
    bad = own.bad if own.bad is not None else (None,) * len(own.grades)
    rows = zip(own.grades, names, pds.tolist(), own.companies, bad, strict=True)
    return Recognition(own.region, own.among or own.region, scale.name, method, tuple(_row(*row) for row in rows))


def _row(own: str, master: str, pd: float, companies: int, bad: int | None) -> Row:
    if bad is None or not companies:
        return Row(own, master, pd, None, None, companies, bad)
    seen = jeffreys(bad, companies)
    return Row(own, master, pd, seen.low, seen.high, companies, bad)


def _places(companies: ArrayLike) -> Floats:
    """Share of companies that is safer than the middle of each grade, inside 0..1."""
    n = np.asarray(companies, dtype=np.float64)
    upper = np.cumsum(n)
    return np.asarray(np.clip((upper - n / 2) / upper[-1], 0.5 / upper[-1], 1 - 0.5 / upper[-1]))


def _curve(own: OwnScale) -> Floats:
    n, d = np.array(own.companies, dtype=np.float64), np.array(own.bad, dtype=np.float64)
    score = ndtri(_places(n))
    slope, level = logistic(score[:, None], good=n - d, bad=d)
    if slope <= 0:
        hint = "is the order of the grades from the safest on?"
        raise ConfigError(f"scale of {own.region}", found="worse grades that default less", expected="more", hint=hint)
    return np.asarray(expit(level + slope * score))


def _by_rank(own: OwnScale, reference: Recognition) -> Floats:
    """Mean PD of the reference's companies between the same percentiles."""
    shares = np.array([row.companies for row in reference.rows], dtype=np.float64)
    at = np.concatenate([[0.0], np.cumsum(shares) / shares.sum()])
    below = np.concatenate([[0.0], np.cumsum(shares * reference.pds) / shares.sum()])  # defaults up to each percentile
    n = np.array(own.companies, dtype=np.float64)
    edges = np.concatenate([[0.0], np.cumsum(n) / n.sum()])
    totals, point = np.interp(edges, at, below), np.interp(_places(n), _middles(at), reference.pds)
    mean = [
        (b - a) / (v - u) if v > u else p
        for (a, b), (u, v), p in zip(pairwise(totals), pairwise(edges), point, strict=True)
    ]
    return np.asarray(mean)


def _middles(at: Floats) -> Floats:
    return np.asarray((at[1:] + at[:-1]) / 2)
