"""A model and an institution's rows become a trained model: plainly, or charged and under noise."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from clients.institution import Institution
from fedcredit.errors import PolicyRefused
from fedcredit.federation.messages import PrivacyTerms, Task
from fedcredit.models.train import fit
from fedcredit.privacy.accounting import Step, delta_for, solve_noise
from fedcredit.privacy.dpsgd import fit_private
from fedcredit.privacy.spend import charge


def train_plainly(model: nn.Module, here: Institution, task: Task, *, number: int, proximal_mu: float) -> float:
    """Mean loss of one round of ordinary training, in place."""
    order = batch_order(task, here.name, number=number)
    return fit(model, here.train.x, here.train.y, settings=task.local, generator=order, proximal_mu=proximal_mu)


def train_private(model: nn.Module, here: Institution, task: Task, *, terms: PrivacyTerms, number: int) -> None:
    """One round of DP-SGD over companies, in place; charged on disk before the first row is touched.

    Raises:
        PolicyRefused: the task's delta is too large for the number of companies here.
    """
    largest = delta_for(here.companies)
    if terms.delta > largest:
        raise PolicyRefused("task.privacy.delta", found=f"{terms.delta:g}", expected=f"at most {largest:g} here")
    noise = solve_noise(
        terms.epsilon, delta=terms.delta, sample_rate=terms.sample_rate, steps=terms.steps * terms.rounds
    )
    step = Step(noise_multiplier=noise, sample_rate=terms.sample_rate, steps=terms.steps)
    charge(here.folder(task.run), step, number=number)
    fit_private(
        model,
        here.train.x,
        here.train.y,
        company=here.train.company,
        settings=task.local,
        noise_multiplier=noise,
        clip=terms.clip,
        sample_rate=terms.sample_rate,
        steps=terms.steps,
    )


def batch_order(task: Task, institution: str, *, number: int) -> torch.Generator:
    """Order of batches: fixed by seed, institution and round, so a resumed round repeats itself. Never for noise."""
    digest = hashlib.sha256(f"{task.seed}/{institution}/{number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
