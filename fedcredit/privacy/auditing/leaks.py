"""One company's update, bare, noised and masked, into how much of its row an attacker reads from each."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fedcredit.privacy.auditing.canaries import Rows
from fedcredit.privacy.auditing.engine import FitPrivate, Plan
from fedcredit.privacy.auditing.inversion import invert_first_layer, invert_masked, likeness

# Fixed point of the masked vector: 2^-16 a step, as in an aggregation of 32-bit words.
FIXED_POINT = 2.0**16


@dataclass(frozen=True)
class Inversion:
    """Mean likeness of what was recovered to the company's row: 1 is the row, 0 is nothing."""

    bare: float
    noised: float
    masked: float
    companies: int


def invert_updates(engine: FitPrivate, model: nn.Module, rows: Rows, *, plan: Plan, companies: int) -> Inversion:
    """The bias trick on updates of `companies` single companies, each alone in its update: the attacker's best case.

    bare: a plain gradient. noised: one round of the plan. masked: the bare one under a uniform mask of 32-bit words
    from the operating system, as it leaves an institution under secure aggregation.

    Raises:
        ModelError: the model has no first layer with a bias.
    """
    _, first = np.unique(rows.company, return_index=True)
    found = np.zeros((min(companies, len(first)), 3))
    for number, row in enumerate(first[: len(found)].tolist()):
        one = Rows(rows.x[row : row + 1], rows.y[row : row + 1], rows.company[row : row + 1])
        truth = one.x[0].double().numpy()
        bare = _gradient(model, one)
        noised = _noised(engine, model, one, plan=plan)
        masked = mask_alone(np.concatenate([value.ravel() for value in bare.values()]))
        shapes = {name: value.shape for name, value in bare.items()}
        found[number] = (
            likeness(invert_first_layer(bare), truth),
            likeness(invert_first_layer(noised), truth),
            likeness(invert_masked(masked, shapes=shapes, scale=FIXED_POINT), truth),
        )
    bare_mean, noised_mean, masked_mean = found.mean(0).tolist()
    return Inversion(bare_mean, noised_mean, masked_mean, len(found))


def mask_alone(values: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Fixed point of `values` plus a uniform mask: what a server sees of one institution."""
    fixed = np.clip(np.rint(values * FIXED_POINT), -(2**31), 2**31 - 1).astype(np.int64)
    mask = np.frombuffer(os.urandom(4 * len(fixed)), dtype=np.uint32)
    return fixed.astype(np.uint32) + mask  # modulo 2^32


def _gradient(model: nn.Module, one: Rows) -> dict[str, NDArray[np.float64]]:
    model.train().zero_grad()
    torch.autograd.backward(binary_cross_entropy_with_logits(model(one.x), one.y))
    return {
        name: parameter.grad.double().numpy()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def _noised(engine: FitPrivate, model: nn.Module, one: Rows, *, plan: Plan) -> dict[str, NDArray[np.float64]]:
    model.zero_grad()
    sent = copy.deepcopy(model)
    engine(
        sent,
        one.x,
        one.y,
        company=one.company,
        settings=plan.settings,
        noise_multiplier=plan.noise_multiplier,
        clip=plan.clip,
        sample_rate=plan.sample_rate,
        steps=plan.steps,
    )
    before = dict(model.named_parameters())
    return {name: (before[name] - after).detach().double().numpy() for name, after in sent.named_parameters()}
