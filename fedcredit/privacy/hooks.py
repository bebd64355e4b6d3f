"""A model and one institution's windows into a model trained by DP-SGD in Opacus: the reference, and the way out."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from opacus import PrivacyEngine
from opacus.validators import ModuleValidator
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset

from fedcredit.errors import PolicyRefused
from fedcredit.models.train import LocalSettings, optimizer_for
from fedcredit.privacy.accounting import Step
from fedcredit.privacy.twister import os_generator, renew


class CompanyRows(Dataset[tuple[Tensor, Tensor]]):
    """One item a company; every time it is asked for, a uniformly drawn row of that company.

    However many rows a company has, it is in a batch with the same chance and moves the sum of clipped gradients by
    at most one clip: that is what makes the company, and not the row, the unit of privacy.
    """

    def __init__(self, x: Tensor, y: Tensor, *, company: NDArray[np.str_], generator: torch.Generator) -> None:
        _, number, rows = np.unique(company, return_inverse=True, return_counts=True)
        self.x, self.y, self.generator = x, y, generator
        self.order = torch.from_numpy(np.argsort(number, kind="stable"))
        self.rows = torch.from_numpy(rows)
        self.first = self.rows.cumsum(0) - self.rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, company: int) -> tuple[Tensor, Tensor]:
        x, y = self.__getitems__([company])
        return x[0], y[0]

    def __getitems__(self, companies: Sequence[int]) -> tuple[Tensor, Tensor]:
        """A whole batch at once, x (b, time, features) and y (b,); torch's loader asks so where it can."""
        chosen = torch.tensor(companies, dtype=torch.int64)
        # In double precision a draw below 1 never rounds up to the row after the last.
        draw = torch.rand(len(chosen), generator=self.generator, dtype=torch.float64)
        row = self.order[self.first[chosen] + (draw * self.rows[chosen]).long()]
        return self.x[row], self.y[row]


def fit_with_opacus(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    company: NDArray[np.str_],
    settings: LocalSettings,
    plan: Step,
    clip: float,
    per_layer: bool = False,
) -> float:
    """Mean training loss, after the plan's noisy steps; `fit_private` says the rest and has checked the arguments.

    `per_layer` clips each of the k parameter tensors to clip / sqrt(k), which Opacus asks as a list.
    """
    tensors = sum(1 for _ in model.parameters())
    generator = os_generator()
    companies = CompanyRows(x, y, company=company, generator=generator)
    # Turns nn.LSTM into Opacus's DPLSTM of the same weights and names; building it draws from torch's generator.
    with torch.random.fork_rng(devices=[]):
        module = ModuleValidator.fix(model).train()
    with _remarks():
        engine = PrivacyEngine(accountant="prv")
    private, optimizer, loader = engine.make_private(
        module=module,
        optimizer=optimizer_for(module, settings),
        data_loader=DataLoader(companies, batch_size=len(companies), collate_fn=_as_it_is, generator=generator),
        noise_multiplier=plan.noise_multiplier,
        max_grad_norm=[clip / math.sqrt(tensors)] * tensors if per_layer else clip,
        clipping="per_layer" if per_layer else "flat",
        poisson_sampling=True,
        noise_generator=generator,
    )
    # Opacus takes the rate from the loader, as one over its whole number of batches; here it is any rate, any number
    # of steps, and the expected batch size is not rounded.
    loader.batch_sampler.sample_rate = plan.sample_rate
    loader.batch_sampler.steps = plan.steps
    optimizer.expected_batch_size = plan.sample_rate * len(companies)
    optimizer.attach_step_hook(engine.accountant.get_optimizer_hook_fn(sample_rate=plan.sample_rate))

    total, seen = 0.0, 0
    with _remarks():
        for rows, labels in loader:
            loss = binary_cross_entropy_with_logits(private(rows), labels, reduction="sum")
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss / max(len(labels), 1))
            for parameter in private.parameters():
                # Clipping turns an overflow into 0 * inf: one company could then be seen through the noise as NaN.
                torch.nan_to_num_(parameter.grad_sample, nan=0.0, posinf=0.0, neginf=0.0)
            renew(generator)
            optimizer.step()
            total += loss.item()
            seen += len(labels)
    made = [(plan.noise_multiplier, plan.sample_rate, plan.steps)]
    if engine.accountant.history != made:
        raise PolicyRefused("private training", found=f"steps {engine.accountant.history}", expected=f"{made}")
    trained = dict(module.named_parameters())  # DPLSTM keeps nn.LSTM's names here; its state_dict adds its own
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(trained[name])
    return total / seen if seen else float("nan")


def _as_it_is(batch: Any) -> Any:
    return batch


@contextlib.contextmanager
def _remarks() -> Iterator[None]:
    """Silence two remarks that come at every call."""
    with warnings.catch_warnings():
        # Said whenever secure_mode is off. It needs torchcsprng, which exists for no torch that we support; our
        # generator is filled and renewed by the operating system instead (see twister.py).
        warnings.filterwarnings("ignore", message="Secure RNG turned off", category=UserWarning)
        # Opacus's hooks ask for gradients of outputs only, so a first layer's input needs none.
        warnings.filterwarnings("ignore", message="Full backward hook is firing", category=UserWarning)
        yield
