"""Companies good and bad at each score become coefficients, or knots; the arithmetic of calibration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import ModelError

Floats = NDArray[np.float64]
STEPS = 200
TOLERANCE = 1e-10  # of the gradient in companies, and of the step in standardised coefficients
FARTHEST = 60.0  # a standardised coefficient beyond is running away: the scores separate the classes
ENOUGH = 1e-4  # Armijo: the share of the promised rise that a step must bring
PRIOR = 1.0  # companies at the overall rate that each block of the isotonic fit is given: no PD of exactly 0 or 1


def logistic(x: Floats, *, good: Floats, bad: Floats) -> tuple[float, ...]:
    """Coefficients of the columns of x, then the intercept, of P(bad): maximum likelihood by Newton's method.

    Raises:
        ModelError: it does not converge, as when scores separate the classes.

    >>> good, bad = np.array([3.0, 1.0]), np.array([1.0, 1.0])
    >>> [round(one, 6) for one in logistic(np.array([[0.0], [1.0]]), good=good, bad=bad)]  # odds 1/3, then 1
    [1.098612, -1.098612]
    """
    used = (good + bad) > 0
    good, bad, x = good[used], bad[used], x[used]
    total = good + bad
    center = np.average(x, axis=0, weights=total)
    spread = np.sqrt(np.average((x - center) ** 2, axis=0, weights=total))
    if not (spread > 1e-9).all():
        raise ModelError("calibration", found="one score for all", expected="scores that differ")
    design = np.column_stack([(x - center) / spread, np.ones(len(x))])
    rate = bad.sum() / total.sum()
    found = np.zeros(design.shape[1])
    found[-1] = np.log(rate) - np.log1p(-rate)
    for _ in range(STEPS):
        fitted = 1 / (1 + np.exp(-np.clip(design @ found, -700, 700)))
        gradient = design.T @ (bad - total * fitted)
        hessian = (design * (total * fitted * (1 - fitted))[:, None]).T @ design
        step = np.linalg.solve(hessian + 1e-12 * np.trace(hessian) * np.eye(len(found)) + 1e-300, gradient)
        longest = float(np.abs(step).max())
        if longest < TOLERANCE and float(np.abs(gradient).max()) < 1e-6 * max(1.0, float(total.sum())):
            slopes = found[:-1] / spread
            return (*(float(one) for one in slopes), float(found[-1] - slopes @ center))
        found = _uphill(found, step, gradient, design=design, bad=bad, total=total)
        if float(np.abs(found).max()) > FARTHEST:
            break
    hint = "more companies with an outcome, or a method with fewer numbers"
    raise ModelError("calibration", found="no finite answer", expected="scores of both classes that mix", hint=hint)


def _uphill(found: Floats, step: Floats, gradient: Floats, *, design: Floats, bad: Floats, total: Floats) -> Floats:
    """The coefficients after the step, or after the half, quarter ... of it that raises the likelihood.

    A full Newton step can cycle around the maximum when the columns are nearly alike; the likelihood is concave, so
    that steps that raise it end there.
    """

    def likelihood(at: Floats) -> float:
        odds = design @ at
        return float((bad * odds - total * np.logaddexp(0, odds)).sum())

    before, rise, part = likelihood(found), ENOUGH * float(gradient @ step), 1.0
    while part > 1e-12 and likelihood(found + part * step) < before + part * rise - 1e-12 * abs(before):
        part /= 2
    return found + part * step


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
        while blocks and _rate(blocks[-1], rate) >= _rate(block, rate):
            last = blocks.pop()
            block = (last[0] + block[0], last[1] + block[1], last[2] + block[2])
        blocks.append(block)
    if len(blocks) < 2:
        raise ModelError("calibration", found="a default rate that does not rise", expected="scores that rank")
    rates = [_rate(block, rate) for block in blocks]
    return tuple(s / n for n, _, s in blocks), tuple(float(np.log(r) - np.log1p(-r)) for r in rates)


def _rate(block: tuple[float, float, float], rate: float) -> float:
    return float((block[1] + PRIOR * rate) / (block[0] + PRIOR))
