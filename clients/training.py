"""A model and an institution's rows become a trained model: plainly, or charged and under noise."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from clients.institution import Institution
from fedcredit.errors import BudgetSpent, PolicyRefused
from fedcredit.federation.messages import PrivacyTerms, Task
from fedcredit.models.train import fit
from fedcredit.privacy.accounting import Step, delta_for, solve_noise
from fedcredit.privacy.dpsgd import fit_private
from fedcredit.privacy.spend import charge, read_spend


def reserved_rounds(rounds: int) -> int:
    """How many repeats after a crash the noise of a private run covers beyond its plan; a short run has none.

    >>> reserved_rounds(1), reserved_rounds(10), reserved_rounds(300)
    (0, 1, 6)
    """
    return max(1, rounds // 50) if rounds >= 10 else 0


def train_plainly(model: nn.Module, here: Institution, task: Task, *, number: int, proximal_mu: float) -> float:
    """Mean loss of one round of ordinary training, in place."""
    order = batch_order(task, here.name, number=number)
    return fit(model, here.train.x, here.train.y, settings=task.local, generator=order, proximal_mu=proximal_mu)


def train_private(model: nn.Module, here: Institution, task: Task, *, terms: PrivacyTerms, number: int) -> None:
    """One round of DP-SGD over companies, in place; charged on disk before the first row is touched.

    The noise covers a few rounds more than planned: a round that a crash repeats is charged again (both of its updates
    may have left), and the run still ends within its epsilon. Whatever asks for more is refused, except on rows that
    the operator declared public or synthetic: there it is charged, and shown.

    Raises:
        PolicyRefused: the task's delta is too large for the number of companies here.
        BudgetSpent: the run has already charged its rounds and the reserve.
    """
    largest = delta_for(here.companies)
    if terms.delta > largest:
        raise PolicyRefused("task.privacy.delta", found=f"{terms.delta:g}", expected=f"at most {largest:g} here")
    most = terms.rounds + reserved_rounds(terms.rounds)
    noise = solve_noise(terms.epsilon, delta=terms.delta, sample_rate=terms.sample_rate, steps=terms.steps * most)
    step = Step(noise_multiplier=noise, sample_rate=terms.sample_rate, steps=terms.steps)
    folder = here.folder(task.run)
    spent = read_spend(folder)
    if len(spent) >= most and not here.allows_overspending:
        hint = "a crash repeated more rounds than the noise covers; start the run again under another name"
        raise BudgetSpent("run", found=f"{len(spent)} rounds charged", expected=f"at most {most}", hint=hint)
    charge(folder, step, number=number)
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
        engine=terms.engine,
    )


def batch_order(task: Task, institution: str, *, number: int) -> torch.Generator:
    """Order of batches: fixed by seed, institution and round, so a resumed round repeats itself. Never for noise."""
    digest = hashlib.sha256(f"{task.seed}/{institution}/{number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
