"""An epsilon for several evaluations becomes the noise of each: the largest release of counts that all can have."""

from __future__ import annotations

import math
from functools import lru_cache

from fedcredit.errors import ConfigError
from fedcredit.privacy.accounting import SOLVER_SLACK, secant
from fedcredit.privacy.discrete_laplace import LARGEST_SCALE, SMALLEST_SCALE
from fedcredit.privacy.mechanism import Mechanism, joint_epsilon
from fedcredit.privacy.pld import FINE
from fedcredit.privacy.released import Release


@lru_cache(maxsize=256)
def solve_release(epsilon: float, *, delta: float, evaluations: int, rows: int = 1, shares: int = 1) -> Release:
    """The release of which `evaluations` spend at most `epsilon` at `delta`, by privacy loss distributions.

    One of them alone has the whole epsilon. Of many each has more than an equal part, since losses seldom all go one
    way; it never has less. rows, shares: see `Release`.

    Raises:
        ConfigError: so much noise that nothing could be seen, or so little that nothing is hidden.

    >>> [round(solve_release(2.0, delta=1e-5, evaluations=n).epsilon, 2) for n in (1, 4, 100)]
    [2.0, 0.5, 0.05]
    """
    equal = evaluations / epsilon  # of an equal part: the epsilons of pure releases add up

    def spent(scale: float) -> float:
        return joint_epsilon([_mechanism(scale, evaluations)], delta=delta)

    # Losses are rounded up to the accountant's grid, so that epsilon is a stair with steps of so much.
    slack = min(max(SOLVER_SLACK, 3 * FINE * evaluations), epsilon / 10)
    close = math.sqrt(2 * evaluations * math.log(1 / delta)) / epsilon  # by the central limit
    solved = secant(spent, epsilon, start=min(equal, close), slack=slack) if evaluations > 1 else None
    scale = min(equal, solved) if solved is not None else equal
    if not SMALLEST_SCALE <= scale * rows <= LARGEST_SCALE:
        hint = "fewer evaluations, fewer rows of a company or a larger epsilon"
        expected = f"{SMALLEST_SCALE:g} to {LARGEST_SCALE:g}"
        raise ConfigError("counts.epsilon", found=f"noise of scale {scale * rows:.3g}", expected=expected, hint=hint)
    return Release(1 / scale, rows, shares)


def _mechanism(scale: float, count: int) -> Mechanism:
    if not 0.0 < scale < math.inf:
        raise ConfigError("counts.epsilon", found=f"noise of scale {scale:.3g}", expected="a number above 0")
    return Mechanism("metrics", noise_scale=scale, noise="discrete_laplace", count=count)
