"""A model and an institution's rows become a trained model: plainly, or charged and under noise."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clients.institution import Institution
from clients.reserve import reserved_rounds
from fedcredit.errors import BudgetSpent, PolicyRefused
from fedcredit.federation.masked import COMPANIES_IN_SUM
from fedcredit.federation.messages import PrivacyTerms, Task
from fedcredit.models.train import fit
from fedcredit.privacy.accounting import Step, delta_for, solve_noise
from fedcredit.privacy.distributed import Crowd, Sought, noise_share, reach, solve_shared_noise
from fedcredit.privacy.dpsgd import fit_private
from fedcredit.privacy.kernel import clipped_sum
from fedcredit.privacy.mechanism import Mechanism
from fedcredit.privacy.randomness import Stream
from fedcredit.privacy.units import clip_and_noise


def train_plainly(model: nn.Module, here: Institution, task: Task, *, number: int, proximal_mu: float) -> float:
    """Mean loss of one round of ordinary training, in place.

    Raises:
        BudgetSpent: the institution set a ceiling on a lifetime's epsilon, and an update without noise has none.
    """
    if here.ceilings.lifetime_epsilon is not None and not here.is_open:
        most = f"privacy, with a lifetime's epsilon of at most {here.ceilings.lifetime_epsilon:g}"
        raise BudgetSpent("task.privacy", found="none", expected=most, hint="ask for an epsilon")
    order = batch_order(task, here.name, number=number)
    return fit(model, here.train.x, here.train.y, settings=task.local, generator=order, proximal_mu=proximal_mu)


def train_private(model: nn.Module, here: Institution, task: Task, *, terms: PrivacyTerms, number: int) -> None:
    """One round of DP-SGD over companies, in place; charged on disk before the first row is touched.

    The noise covers a few rounds more than planned: a round that a crash repeats is charged again (both of its updates
    may have left), and the run still ends within its epsilon. Whatever asks for more is refused, except on rows that
    the operator declared public or synthetic: there it is charged, and shown.

    Raises:
        PolicyRefused: the delta is too large for the number of companies here, the noise below the institution's floor
            or the clip above its ceiling.
        BudgetSpent: the ceilings do not cover the plan, or the run has charged its rounds and the reserve.
        LedgerEdited: the ledger was changed by hand.
    """
    most = terms.rounds + reserved_rounds(terms.rounds)
    noise = solve_noise(terms.epsilon, delta=terms.delta, sample_rate=terms.sample_rate, steps=terms.steps * most)
    weight = _weight(here, terms)  # what is missing is told before the charge
    _charge(here, task, terms=terms, noise=noise, number=number)
    if terms.unit == "institution":
        _train_as_one(model, here, task, terms=terms, noise=noise, number=number)
        return
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
        weight=weight,
    )


def _train_as_one(
    model: nn.Module, here: Institution, task: Task, *, terms: PrivacyTerms, noise: float, number: int
) -> None:
    """Plain training whose whole update is clipped and noised: the institution is the unit (McMahan et al. 2018)."""
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    fit(model, here.train.x, here.train.y, settings=task.local, generator=batch_order(task, here.name, number=number))
    update = {name: value.numpy() - before[name] for name, value in model.state_dict().items()}
    noised = clip_and_noise(update, clip=terms.clip, noise_multiplier=noise)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            value.copy_(torch.from_numpy(before[name] + noised[name]))


def noisy_sum(
    model: nn.Module, here: Institution, task: Task, *, terms: PrivacyTerms, number: int, scale: float, weight: float
) -> NDArray[np.float64]:
    """One round's sum of clipped gradients with this institution's share of the noise, whole steps of 1 / scale.

    (parameters,) in the order of model.parameters(). Charged like `train_private`, with the noise that the sum has if
    all the dropouts that the task allows for happen: with fewer it has more. `weight`, at most 1, scales the sum down
    where the institution would have more than its share of the mean.

    Raises:
        PolicyRefused: as `train_private`, or the task's limit could be passed by what is summed.
        BudgetSpent, LedgerEdited: as `train_private`.
        UnknownLayer: the kernel does not know a layer of the model.
    """
    if task.masking is None or (group := task.masking.group_of(here.name)) is None:
        raise PolicyRefused("task.masking", found="no sum with this institution", expected="noise in a masked sum")
    crowd = Crowd.of(len(group), dropouts=terms.dropouts)
    size = sum(parameter.numel() for parameter in model.parameters())
    sought = Sought(terms.epsilon, terms.delta, terms.sample_rate, terms.rounds + reserved_rounds(terms.rounds))
    noise = solve_shared_noise(sought, dimension=size, clip=terms.clip, scale=scale, crowd=crowd)
    weight_of_rows = _weight(here, terms)
    most = reach(
        weight * here.companies, noise_multiplier=noise, clip=terms.clip, scale=scale, dimension=size, crowd=crowd
    )
    if terms.clip * COMPANIES_IN_SUM < most:
        hint = "a refused sum would tell of an update with a share of the noise only"
        found = f"sums of up to {COMPANIES_IN_SUM} clips"
        raise PolicyRefused("privacy.noise", found=found, expected=f"at least {most / terms.clip:.4g} here", hint=hint)
    _charge(here, task, terms=terms, noise=noise, number=number)
    random = Stream()
    total, _ = clipped_sum(
        model,
        here.train.x,
        here.train.y,
        company=here.train.company,
        clip=terms.clip,
        sample_rate=terms.sample_rate,
        random=random,
        weight=weight_of_rows,
    )
    whole = np.rint(total.double().numpy() * (weight * scale)).astype(np.int64)
    whole += noise_share(
        size, noise_multiplier=noise, clip=terms.clip, scale=scale, crowd=crowd, uniform=random.uniforms
    )
    steps: NDArray[np.float64] = whole / scale
    return steps


def _weight(here: Institution, terms: PrivacyTerms) -> Tensor | None:
    """The share of the clip of each training row; all of it, unless companies are protected across institutions."""
    return here.weights if terms.unit == "company-across-institutions" else None


def _charge(here: Institution, task: Task, *, terms: PrivacyTerms, noise: float, number: int) -> None:
    """The round is on disk before a row is touched, or refused."""
    largest = delta_for(here.companies)
    if terms.delta > largest:
        raise PolicyRefused("task.privacy.delta", found=f"{terms.delta:g}", expected=f"at most {largest:g} here")
    here.ceilings.check_training(noise_multiplier=noise, clip=terms.clip)
    step = Mechanism.of_step(Step(noise_multiplier=noise, sample_rate=terms.sample_rate, steps=terms.steps))
    ledger, account = here.ledger_of(task), here.account_of(task, delta=terms.delta)
    ledger.plan(account, [step.times(terms.rounds + reserved_rounds(terms.rounds))])
    ledger.charge(account, step, number=number, is_beyond_plan_allowed=here.allows_overspending)


def batch_order(task: Task, institution: str, *, number: int) -> torch.Generator:
    """Order of batches: fixed by seed, institution and round, so a resumed round repeats itself. Never for noise."""
    digest = hashlib.sha256(f"{task.seed}/{institution}/{number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
