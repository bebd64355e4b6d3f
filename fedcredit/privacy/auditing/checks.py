"""A private training engine into twelve findings: what it does to noise, batches, clips and units, and what it claims.

Each check trains models of known gradients and weighs what moved. A statistical one calls a sound engine faulty with
a probability below 1e-6.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedcredit.models.build import ModelSettings, build
from fedcredit.models.train import LocalSettings
from fedcredit.privacy.auditing.claims import Claim, Finding, check_claim
from fedcredit.privacy.auditing.engine import FitPrivate

SGD = LocalSettings("sgd", lr=1.0)
WIDTH = 4000  # weights over which a spread is taken: its own standard deviation is 1.1 %
SPREAD = 0.06
DRAWN = 64
RUNS = 10
EXACT = 1e-3


def examine(engine: FitPrivate, claim: Claim) -> list[Finding]:
    """All twelve findings: eight of the engine, four of the claim, with the sampling that the engine shows."""
    found = examine_engine(engine)
    return found + check_claim(replace(claim, is_poisson=claim.is_poisson and draws_by_coin(engine)))


def examine_engine(engine: FitPrivate) -> list[Finding]:
    """Eight findings on noise, batches, clip and unit."""
    checks: list[Callable[[FitPrivate], Finding]] = [
        noise_is_on,
        noise_is_fresh,
        batches_follow_no_seed,
        divisor_is_expected,
        empty_batches_step,
        clip_comes_before_the_sum,
        clip_holds,
        company_is_the_unit,
    ]
    return [check(engine) for check in checks]


def noise_is_on(engine: FitPrivate) -> Finding:
    """One step on rows without gradient moves weights by sigma * clip / n: the noise alone."""
    spread = float(_noise(engine, rate=1.0, steps=1).std())
    return Finding("noise off", abs(spread - 1.0) < SPREAD, f"{spread:.3f} of the noise", "1 within 6 %")


def noise_is_fresh(engine: FitPrivate) -> Finding:
    """Noise of four steps adds up to twice that of one, and two runs of one seed differ by sqrt(2) of it."""
    four = float(_noise(engine, rate=1.0, steps=4).std()) / 2
    pair = []
    for _ in range(2):
        with _one_seed():
            pair.append(_noise(engine, rate=1.0, steps=1))
    apart = float((pair[0] - pair[1]).std()) / 2**0.5
    is_sound = abs(four - 1.0) < SPREAD and abs(apart - 1.0) < SPREAD
    return Finding("noise reused", is_sound, f"{four:.3f} over steps, {apart:.3f} over runs", "1 and 1 within 6 %")


def batches_follow_no_seed(engine: FitPrivate) -> Finding:
    """Two runs with one seed draw different companies."""
    first, second = (_drawn(engine, seeded=True) for _ in range(2))
    same = int((first.companies == second.companies).sum())
    return Finding("seeded sampling", same < DRAWN, f"{same} of {DRAWN} coins alike", "about half")


def divisor_is_expected(engine: FitPrivate) -> Finding:
    """Whatever the batch, the sum is divided by rate * companies; by the batch's own size, its members show."""
    divisors = sorted({round(_drawn(engine).divisor, 2) for _ in range(RUNS)})
    is_sound = all(abs(divisor - DRAWN / 2) < DRAWN * EXACT for divisor in divisors)
    found = ", ".join(f"{divisor:g}" for divisor in divisors)
    return Finding("actual-batch divisor", is_sound, f"divisor {found}", f"{DRAWN // 2} always")


def empty_batches_step(engine: FitPrivate) -> Finding:
    """A step that draws nobody still adds its noise."""
    spread = float(_noise(engine, rate=1e-9, steps=1).std())
    return Finding("empty step missing", abs(spread - 1.0) < SPREAD, f"{spread:.3f} of the noise", "1 within 6 %")


def clip_comes_before_the_sum(engine: FitPrivate) -> Finding:
    """Ten companies with one and the same large gradient sum to ten clips; clipped after the sum, to one."""
    moved = _pull(engine, labels=[1.0] * 10, company=[f"c{i}" for i in range(10)], clip=0.1)
    return Finding("clipping after the sum", moved > 10 - 10 * EXACT, f"{moved:.3f} clips from ten companies", "10")


def clip_holds(engine: FitPrivate) -> Finding:
    """A company whose gradient is a million clips moves the sum by one."""
    moved = _pull(engine, labels=[1.0], company=["a"], clip=0.1, size=2e5)
    return Finding("clip too large", abs(moved - 1.0) < EXACT, f"{moved:.3f} clips from one company", "1")


def company_is_the_unit(engine: FitPrivate) -> Finding:
    """24 rows of one company and one row of another pull apart, one clip each: nothing moves."""
    moved = _pull(engine, labels=[1.0] * 24 + [0.0], company=["a"] * 24 + ["b"], clip=0.1)
    return Finding("per-row unit", moved < EXACT, f"{moved:.3f} clips from 24 rows against 1", "0")


def draws_by_coin(engine: FitPrivate) -> bool:
    """Whether batch sizes vary, around rate * companies, as those of independent coins do."""
    sizes = [int(_drawn(engine).companies.sum()) for _ in range(RUNS)]
    spread = (RUNS * DRAWN) ** 0.5 / 2
    return len(set(sizes)) > 1 and abs(sum(sizes) - RUNS * DRAWN / 2) < 6 * spread


@dataclass(frozen=True)
class _Drawn:
    companies: NDArray[np.bool_]
    divisor: float


def _drawn(engine: FitPrivate, *, seeded: bool = False) -> _Drawn:
    """Who was in one batch at rate 1/2, and what their sum was divided by: each company has a weight of its own."""
    model = _zero_logistic(DRAWN)
    x, y = torch.eye(DRAWN)[:, None, :], torch.zeros(DRAWN)
    if seeded:
        with _one_seed():
            _step(engine, model, x, y, company=_names(DRAWN), sigma=0.0, clip=100.0, rate=0.5)
    else:
        _step(engine, model, x, y, company=_names(DRAWN), sigma=0.0, clip=100.0, rate=0.5)
    moved = _weights(model)[:DRAWN].abs().numpy()
    companies = moved > 0.0
    # At logit 0 every gradient is 1/2.
    return _Drawn(companies, 0.5 / float(np.median(moved[companies])) if companies.any() else DRAWN / 2)


def _noise(engine: FitPrivate, *, rate: float, steps: int) -> Tensor:
    """What `steps` steps on rows of zeros did to WIDTH weights, in standard deviations of one step's noise."""
    companies, sigma, clip = 4, 3.0, 0.5
    model = _zero_logistic(WIDTH)
    x, y = torch.zeros(companies, 1, WIDTH), torch.zeros(companies)
    _step(engine, model, x, y, company=_names(companies), sigma=sigma, clip=clip, rate=rate, steps=steps)
    return _weights(model)[:WIDTH].double() * (rate * companies) / (sigma * clip)


def _pull(engine: FitPrivate, *, labels: list[float], company: list[str], clip: float, size: float = 0.0) -> float:
    """Length, in clips, of the sum that one step without noise takes over companies whose rows are alike."""
    model = _zero_logistic(3)
    x, y = torch.full((len(labels), 1, 3), size), torch.tensor(labels)
    names = np.array(company, dtype=np.str_)
    _step(engine, model, x, y, company=names, sigma=0.0, clip=clip, rate=1.0)
    return float(_weights(model).norm()) * len(np.unique(names)) / clip


def _step(
    engine: FitPrivate,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    company: NDArray[np.str_],
    sigma: float,
    clip: float,
    rate: float,
    steps: int = 1,
) -> None:
    engine(model, x, y, company=company, settings=SGD, noise_multiplier=sigma, clip=clip, sample_rate=rate, steps=steps)


def _zero_logistic(inputs: int) -> nn.Module:
    model = build(ModelSettings("logistic"), features=[f"x{number}" for number in range(inputs)], time=1, seed=0)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model


def _weights(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def _names(companies: int) -> NDArray[np.str_]:
    return np.array([f"c{number}" for number in range(companies)], dtype=np.str_)


@contextmanager
def _one_seed() -> Iterator[None]:
    """Every global generator at one seed, and back to where it was."""
    held, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - what an engine must not follow
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002 - likewise
        try:
            yield
        finally:
            random.setstate(held)
            np.random.set_state(legacy)  # noqa: NPY002 - likewise
