"""Companies, defaults and the PD of each grade become tests of that PD: binomial, Jeffreys, z, and all by Holm."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import beta, binom, norm

from fedcredit.errors import ConfigError
from fedcredit.evaluation.grades import GradeCounts
from fedcredit.evaluation.holm import holm
from fedcredit.evaluation.proportions import jeffreys

SIGNIFICANCE = 0.05


def binomial_test(defaults: int, companies: int, pd: float) -> float:
    """Chance of this many defaults or more if the PD is right; small when the PD is too low.

    Exact, for independent defaults (Basel Committee, Working Paper 14, 2005). By hand for 2 of 10 at 5 %:
    1 - .95^10 - 10 * .05 * .95^9.

    >>> round(binomial_test(2, 10, 0.05), 6), round(1 - 0.95**10 - 10 * 0.05 * 0.95**9, 6)
    (0.086138, 0.086138)
    """
    _check(defaults, companies, pd)
    return float(binom.sf(defaults - 1, companies, pd))


def binomial_test_two_sided(defaults: int, companies: int, pd: float) -> float:
    """Twice the smaller tail of the binomial test, 1 at most: small when the PD is too low or too high.

    >>> binomial_test_two_sided(0, 1, 0.5)
    1.0
    """
    _check(defaults, companies, pd)
    above, below = binom.sf(defaults - 1, companies, pd), binom.cdf(defaults, companies, pd)
    return float(min(1.0, 2 * min(above, below)))


def jeffreys_test(defaults: int, companies: int, pd: float) -> float:
    """Chance that the true default rate is at or below the PD; small when the PD is too low.

    The ECB's test for PDs ("Instructions for reporting the validation results of internal models", 2019, section
    2.5.3.1): the default rate has the distribution Beta(D + 1/2, N - D + 1/2). By hand for 0 of 1 at 50 %, from
    Beta(1/2, 3/2): 1/2 + 1/pi.

    >>> round(jeffreys_test(0, 1, 0.5), 6), round(0.5 + 1 / math.pi, 6)
    (0.81831, 0.81831)
    """
    _check(defaults, companies, pd)
    return float(beta.cdf(pd, defaults + 0.5, companies - defaults + 0.5))


def jeffreys_test_two_sided(defaults: int, companies: int, pd: float) -> float:
    """Twice the smaller side of the Jeffreys test: small when the PD is too low or too high.

    >>> round(jeffreys_test_two_sided(0, 1, 0.5), 6), round(2 * (0.5 - 1 / math.pi), 6)
    (0.36338, 0.36338)
    """
    _check(defaults, companies, pd)
    spread = beta(defaults + 0.5, companies - defaults + 0.5)
    return float(2 * min(spread.cdf(pd), spread.sf(pd)))


def z_test(defaults: int, companies: int, pd: float) -> float:
    """How many standard deviations the defaults lie above what the PD says; above 1.645 it is too low at 5 %.

    >>> round(z_test(16, 100, 0.1), 9)
    2.0
    """
    _check(defaults, companies, pd)
    return (defaults - companies * pd) / math.sqrt(companies * pd * (1 - pd))


@dataclass(frozen=True)
class GradeTest:
    """One grade: what was expected, what was seen with its 95 % Jeffreys interval, and the p value of each test.

    None where the grade has too few companies. jeffreys_holm is the two-sided Jeffreys test beside all the other
    grades; z_p is one-sided, as binomial and jeffreys are.
    """

    name: str
    companies: int
    defaults: int
    pd: float
    rate: float | None = None
    low: float | None = None
    high: float | None = None
    binomial: float | None = None
    jeffreys: float | None = None
    jeffreys_two_sided: float | None = None
    jeffreys_holm: float | None = None
    z: float | None = None
    z_p: float | None = None


@dataclass(frozen=True)
class Backtest:
    """All grades; smallest_p: the smallest Holm-adjusted two-sided Jeffreys p. It passes at `significance` or above."""

    grades: tuple[GradeTest, ...]
    smallest_p: float | None
    significance: float

    @property
    def passed(self) -> bool:
        return self.smallest_p is not None and self.smallest_p >= self.significance


def backtest(grades: GradeCounts, *, significance: float = SIGNIFICANCE, least: int = 1) -> Backtest:
    """Each grade's PD against its defaults, and the two-sided verdict over all grades.

    `least` companies are needed to test a grade. With few of them and a PD near 0 the Jeffreys prior alone, not the
    data, decides: one company of PD .03 % without default has a two-sided p of .04. Holm's adjustment absorbs that.

    >>> grades = GradeCounts(("A", "B"), (1000, 1000), (3, 80), (0.0027, 0.05))
    >>> found = backtest(grades)
    >>> [round(g.jeffreys_holm, 4) for g in found.grades], found.passed
    ([0.7776, 0.0001], False)
    """
    rows = list(zip(grades.names, grades.companies, grades.defaults, grades.pd, strict=True))
    two_sided = [jeffreys_test_two_sided(d, n, pd) if n >= max(least, 1) else None for _, n, d, pd in rows]
    together = holm(two_sided)
    found = tuple(
        GradeTest(name, n, d, pd) if two is None else _tested(name, n, d, pd, two, adjusted)
        for (name, n, d, pd), two, adjusted in zip(rows, two_sided, together, strict=True)
    )
    known = [p for p in together if p is not None]
    return Backtest(found, min(known) if known else None, significance)


def _tested(name: str, n: int, d: int, pd: float, two_sided: float, adjusted: float | None) -> GradeTest:
    rate, low, high = jeffreys(d, n)
    z = z_test(d, n, pd)
    one = binomial_test(d, n, pd), jeffreys_test(d, n, pd)
    return GradeTest(name, n, d, pd, rate, low, high, *one, two_sided, adjusted, z, float(norm.sf(z)))


def _check(defaults: int, companies: int, pd: float) -> None:
    if not 0 <= defaults <= companies or companies < 1:
        found = f"{defaults} defaults of {companies} companies"
        raise ConfigError("backtest", found=found, expected="one company or more, and no more defaults than companies")
    if not 0 < pd < 1:
        raise ConfigError("backtest, pd", found=str(pd), expected="above 0, below 1")
