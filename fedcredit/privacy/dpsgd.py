"""A model and one institution's windows into a model trained by DP-SGD, with the company as the unit of privacy."""

from __future__ import annotations

import logging
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedcredit.errors import ConfigError, TableError
from fedcredit.models.train import LocalSettings, optimizer_for
from fedcredit.privacy.accounting import Step
from fedcredit.privacy.chain import UnknownLayer
from fedcredit.privacy.companies import Companies
from fedcredit.privacy.kernel import Clipping, Kernel, add_noise
from fedcredit.privacy.randomness import Stream

Engine = Literal["kernel", "opacus"]
log = logging.getLogger(__name__)


def fit_private(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    company: NDArray[np.str_],
    settings: LocalSettings,
    noise_multiplier: float,
    clip: float,
    sample_rate: float,
    steps: int,
    engine: Engine = "kernel",
    clipping: Clipping = "flat",
    weight: Tensor | None = None,
) -> float:
    """Mean training loss, after exactly `steps` noisy steps that train `model` in place.

    x (n, time, features), y (n,) of 0. or 1., company (n,). Each step takes every company with probability
    `sample_rate` (Poisson sampling), clips the gradient of one of its rows to norm `clip`, adds Gaussian noise of
    standard deviation noise_multiplier * clip to the sum and divides by the expected batch size (Abadi et al. 2016).
    An empty batch takes its noisy step like any other. Batches and noise come from the operating system, not from a
    study's seed. Of `settings` the optimizer, lr, momentum and weight_decay are used.

    Both engines do the same: `kernel` is ours and quicker, `opacus` the reference, which also takes over, with a line
    in the log, where a model has a layer that the kernel does not know.

    `weight` (n,), above 0 and at most 1, is the share of the clip by which a row's company may move a step (see
    `units.weights`); Opacus has no such weight, so the kernel must know the model.

    What it spends is `epsilon_spent([..., Step(noise_multiplier, sample_rate, steps)], delta=...)`. The loss that is
    returned is not covered by it: it stays at the institution.
    """
    plan = Step(noise_multiplier, sample_rate, steps)
    if not 0.0 < clip < float("inf"):
        raise ConfigError("privacy.clip", found=repr(clip), expected="a number above 0")
    if engine not in get_args(Engine):
        raise ConfigError("privacy.dp_engine", found=repr(engine), expected=f"one of {', '.join(get_args(Engine))}")
    if len(y) == 0:
        raise TableError("training rows", found="none", expected="at least one", hint="leave this institution out")
    spread = noise_multiplier * clip
    if spread and abs(float(np.float32(spread)) / spread - 1.0) > 1e-6:
        raise ConfigError("privacy.clip", found=repr(clip), expected="a clip whose noise float32 can hold")
    random = Stream()
    if engine == "kernel":
        try:
            kernel = Kernel(model, clip=clip, clipping=clipping, random=random)
        except UnknownLayer as fault:
            if weight is not None:
                raise
            log.warning("the kernel does not know %s: %s; this model trains with opacus", fault.where, fault.found)
        else:
            return _fit(
                model,
                kernel,
                x,
                y,
                company=company,
                settings=settings,
                plan=plan,
                clip=clip,
                random=random,
                weight=weight,
            )
    if weight is not None:
        raise ConfigError("privacy.dp_engine", found=f"{engine} with weights", expected="kernel")
    from fedcredit.privacy.hooks import fit_with_opacus  # seconds to import, seldom needed

    is_apart = clipping == "per_layer"
    return fit_with_opacus(model, x, y, company=company, settings=settings, plan=plan, clip=clip, per_layer=is_apart)


def _fit(
    model: nn.Module,
    kernel: Kernel,
    x: Tensor,
    y: Tensor,
    *,
    company: NDArray[np.str_],
    settings: LocalSettings,
    plan: Step,
    clip: float,
    random: Stream,
    weight: Tensor | None,
) -> float:
    companies, spread = Companies(company), plan.noise_multiplier * clip
    optimizer = optimizer_for(model, settings)
    # The gradients are views of the kernel's vector: what is written there is what the optimizer reads.
    for parameter, gradient in zip(kernel.parameters, kernel.gradients, strict=True):
        parameter.grad = gradient
    loss, seen = torch.zeros((), dtype=torch.float64), 0
    for _ in range(plan.steps):
        rows = companies.draw(plan.sample_rate, random=random)
        total, losses = kernel.clipped(x[rows], y[rows], weight=None if weight is None else weight[rows])
        if spread:
            add_noise(total, spread=spread, random=random)
        total.div_(plan.sample_rate * len(companies))
        optimizer.step()
        loss += losses
        seen += len(rows)
    for parameter in kernel.parameters:
        parameter.grad = None
    return loss.item() / seen if seen else float("nan")
