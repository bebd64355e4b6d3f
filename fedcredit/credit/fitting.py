"""Companies good and bad at each score become coefficients, or knots; the arithmetic of calibration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import ModelError
from fedcredit.evaluation.logistic import fit

Floats = NDArray[np.float64]
PRIOR = 1.0  # companies at the overall rate that each block of the isotonic fit is given: no PD of exactly 0 or 1


def logistic(x: Floats, *, good: Floats, bad: Floats) -> tuple[float, ...]:
    """Coefficients of the columns of x, then the intercept, of P(bad): maximum likelihood.

    Raises:
        ModelError: there is no finite answer, as when scores separate the classes.

    >>> good, bad = np.array([3.0, 1.0]), np.array([1.0, 1.0])
    >>> [round(one, 6) for one in logistic(np.array([[0.0], [1.0]]), good=good, bad=bad)]  # odds 1/3, then 1
    [1.098612, -1.098612]
    """
    found = fit(x, good=good, bad=bad)
    if found is None:
        hint = "more companies with an outcome, or a method with fewer numbers"
        expected = "scores of both classes that differ and mix"
        raise ModelError("calibration", found="no finite answer", expected=expected, hint=hint)
    return tuple(found.coefficients.tolist())


def isotonic(z: Floats, *, good: Floats, bad: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Knots (log-odds of the score, log-odds of the rate): pool adjacent violators, each block at its mean score.

    A block's rate has one company more, at the overall rate. Blocks merge until the rates rise strictly, so that the
    curve through the knots keeps the order of the scores.

    Raises:
        ModelError: one block is left: the scores do not rank.

    >>> x, y = isotonic(np.array([-1.0, 0.0, 1.0]), good=np.array([9.0, 8.0, 4.0]), bad=np.array([1.0, 0.0, 6.0]))
    >>> x, [round(one, 3) for one in y]
    ((-0.5555555555555556, 1.0), [-2.653, 0.274])
    """
    rate = bad.sum() / (good.sum() + bad.sum())
    blocks: list[tuple[float, float, float]] = []  # companies, defaults, sum of log-odds
    for n, d, at in zip(good + bad, bad, z, strict=True):
        if not n:
            continue
        block = (float(n), float(d), float(n * at))
        while blocks and _log_odds(blocks[-1], rate) >= _log_odds(block, rate):
            last = blocks.pop()
            block = (last[0] + block[0], last[1] + block[1], last[2] + block[2])
        blocks.append(block)
    if len(blocks) < 2:
        raise ModelError("calibration", found="a default rate that does not rise", expected="scores that rank")
    return tuple(s / n for n, _, s in blocks), tuple(_log_odds(block, rate) for block in blocks)


def _log_odds(block: tuple[float, float, float], rate: float) -> float:
    # Not the rate itself is compared: two that differ in the last bit can have the same log-odds.
    r = (block[1] + PRIOR * rate) / (block[0] + PRIOR)
    return float(np.log(r) - np.log1p(-r))
