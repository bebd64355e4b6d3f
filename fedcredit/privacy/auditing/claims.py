"""A claimed epsilon beside the one that the charged steps spend: four ways to claim too little."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedcredit.privacy.accounting import Step, delta_for, epsilon_spent
from fedcredit.privacy.auditing.gaussian import gaussian_epsilon

# Two accountants' numerics may differ by so much; a claim short by more is a fault.
TOLERANCE = 0.005


@dataclass(frozen=True)
class Finding:
    """One planted fault looked for: `is_sound` where it is not there, with what was measured and what it should be."""

    fault: str
    is_sound: bool
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{'ok   ' if self.is_sound else 'FAULT'} {self.fault}: {self.found}, expected {self.expected}"


@dataclass(frozen=True)
class Claim:
    """What an institution says that a run spent: epsilon at delta, over the rounds that it charged.

    companies: how many it holds. is_poisson: whether batches are drawn as the accountant assumes, each company by its
    own coin; fixed batches and shuffled epochs are not.
    """

    epsilon: float
    delta: float
    history: Sequence[Step]
    companies: int
    is_poisson: bool = True


def check_claim(claim: Claim) -> list[Finding]:
    """Four findings: delta too large, accountant restarted, subsampled accounting of fixed batches, gdp accountant.

    Epsilon is recomputed from every charged step with the PRV accountant. A claim short of it is laid to the central
    limit's accountant (`gdp`, Dong et al. 2022) where it reaches that figure, else to an accountant that forgot
    rounds. Fixed batches amplify nothing: a company is in up to ceil(rate * steps) of a round's shuffled batches, in
    full view, and every such step is one of a Gaussian mechanism on all companies.
    """
    largest = delta_for(claim.companies)
    truth = epsilon_spent(claim.history, delta=claim.delta)
    limit = _central_limit(claim.history, delta=claim.delta)
    is_short = claim.epsilon < truth - TOLERANCE
    by_gdp = is_short and claim.epsilon >= limit - TOLERANCE
    claimed = f"epsilon {claim.epsilon:.3f}"
    return [
        Finding("delta too large", claim.delta <= largest, f"delta {claim.delta:g}", f"at most {largest:g}"),
        Finding(
            "accountant restarted",
            by_gdp or not is_short,
            claimed,
            f"at least {truth:.3f} for all {sum(step.steps for step in claim.history)} steps",
        ),
        _of_fixed_batches(claim, claimed),
        Finding("gdp accountant", not by_gdp, claimed, f"at least {truth:.3f} (the central limit says {limit:.3f})"),
    ]


def _of_fixed_batches(claim: Claim, claimed: str) -> Finding:
    name = "subsampled accounting of fixed batches"
    if claim.is_poisson:
        return Finding(name, True, "each company drawn by its own coin", "Poisson sampling")
    if any(step.noise_multiplier == 0.0 for step in claim.history):
        truth = math.inf
    else:
        seen = sum(math.ceil(s.steps * s.sample_rate) / s.noise_multiplier**2 for s in claim.history)
        truth = gaussian_epsilon(math.sqrt(seen), delta=claim.delta)
    is_covered = claim.epsilon >= truth - TOLERANCE
    return Finding(name, is_covered, f"{claimed} for fixed batches", f"at least {truth:.3f}: they amplify nothing")


def _central_limit(history: Sequence[Step], *, delta: float) -> float:
    """Epsilon by the central limit of Poisson-sampled Gaussians: what accountant="gdp" would have said."""
    if any(step.noise_multiplier == 0.0 for step in history):
        return math.inf
    # exp overflows where the noise is next to nothing; epsilon is then as good as infinite.
    terms = [s.sample_rate**2 * s.steps * math.expm1(min(s.noise_multiplier**-2, 700.0)) for s in history]
    return gaussian_epsilon(math.sqrt(sum(terms)), delta=delta)
