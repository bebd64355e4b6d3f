"""Whom a guarantee is about: a company at one institution, a company across institutions, or a whole institution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.errors import ConfigError, TableError
from fedcredit.privacy.accounting import Step
from fedcredit.privacy.mechanism import Mechanism, joint_epsilon
from fedcredit.privacy.randomness import Stream

Unit = Literal["company", "company-across-institutions", "institution"]


def weights(multiplicity: ArrayLike) -> NDArray[np.float64]:
    """The share of the clip by which each company may move a step at each institution: one over those that know it.

    multiplicity (n,): to how many institutions of the federation each company is known, this one included. Over all of
    them a company then moves the sum by at most one clip, as if it were known to one (Kato, Xiong, Takagi, Cao and
    Yoshikawa 2024, Uldp-FL, arXiv 2308.12210, uniform weights).

    >>> weights([1, 2, 4]).tolist()
    [1.0, 0.5, 0.25]

    Raises:
        TableError: a multiplicity that is no whole number of at least 1.
    """
    known = np.asarray(multiplicity)
    if known.size and (not np.issubdtype(known.dtype, np.integer) or known.min() < 1):
        raise TableError("multiplicity", found="another value", expected="whole numbers, 1 or more")
    return 1.0 / known.astype(np.float64)


def epsilon_across(history: Sequence[Mechanism], *, institutions: int, delta: float, unit: Unit = "company") -> float:
    """Epsilon of a company that up to `institutions` know, when each of them did all of `history`.

    `company`: that many copies compose. `company-across-institutions`: with weights of 1/m the noise is m times the
    company's share of the clip at each of its m institutions; the worst m up to the declared one counts.

    >>> history = [Mechanism("training", 20.0, count=10)]
    >>> apart, weighted = (
    ...     epsilon_across(history, institutions=3, delta=1e-5, unit=unit)
    ...     for unit in ("company", "company-across-institutions")
    ... )
    >>> weighted == joint_epsilon(history, delta=1e-5) < apart
    True
    """
    if institutions < 1:
        raise ConfigError("institutions", found=str(institutions), expected="at least 1")
    if unit == "company-across-institutions":
        return max(
            joint_epsilon(
                [replace(one, noise_scale=one.noise_scale * m) for one in history], delta=delta, institutions=m
            )
            for m in range(1, institutions + 1)
        )
    return joint_epsilon(history, delta=delta, institutions=institutions)


def institution_step(noise_multiplier: float, *, rounds: int = 1, cohort_rate: float = 1.0) -> Step:
    """What `rounds` noised updates of a whole institution spend, the institution with all its rows being the unit.

    cohort_rate: 1, unless a trusted party draws the cohort by Poisson sampling and tells nobody, the server included;
    whoever sees who took part gets no amplification.
    """
    return Step(noise_multiplier, cohort_rate, rounds)


def clip_and_noise(
    update: Mapping[str, NDArray[np.floating]], *, clip: float, noise_multiplier: float
) -> dict[str, NDArray[np.floating]]:
    """The institution's whole update, clipped to norm `clip` over all its arrays, plus Gaussian noise on every number.

    The update is the trained model minus the one that came in. The standard deviation is noise_multiplier * clip; the
    noise comes from the operating system (McMahan et al. 2018, DP-FedAvg, with the noise at the institution). A number
    that is not finite counts as 0, so that it cannot show through the noise. Shapes and types stay.
    """
    if not 0.0 < clip < math.inf:
        raise ConfigError("privacy.clip", found=repr(clip), expected="a number above 0")
    plan = institution_step(noise_multiplier)  # checks the noise
    finite = {
        name: np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        for name, values in update.items()
    }
    norm = math.sqrt(sum(float((values**2).sum()) for values in finite.values()))
    scale = min(1.0, clip / norm) if norm else 1.0
    random = Stream()
    noised = {}
    for name, values in finite.items():
        noise = random.normals(values.size).numpy().reshape(values.shape)
        noised[name] = (values * scale + noise * plan.noise_multiplier * clip).astype(update[name].dtype)
    return noised
