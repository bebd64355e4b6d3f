"""Windows and labels into a trained model, and a trained model into probabilities."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fedcredit.errors import ConfigError, TableError

OptimizerName = Literal["sgd", "adam", "adamw"]


@dataclass(frozen=True)
class LocalSettings:
    """How an institution trains between two rounds.

    `steps`, where given, is the exact number of optimizer steps and overrides `epochs`.

    >>> LocalSettings("sgd", lr=0.05).batch_size
    64
    """

    optimizer: OptimizerName = "adam"
    lr: float = 1e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    batch_size: int = 64
    epochs: int = 1
    steps: int | None = None

    def __post_init__(self) -> None:
        names = get_args(OptimizerName)
        if self.optimizer not in names:
            raise ConfigError("local.optimizer", found=repr(self.optimizer), expected=f"one of {', '.join(names)}")
        if not 0.0 < self.lr < float("inf"):
            raise ConfigError("local.lr", found=repr(self.lr), expected="a number above 0")
        if not 0.0 <= self.momentum < 1.0:
            raise ConfigError("local.momentum", found=repr(self.momentum), expected="a number from 0 to below 1")
        if self.momentum and self.optimizer != "sgd":
            raise ConfigError(
                "local.momentum",
                found=f"{self.momentum} with optimizer {self.optimizer!r}",
                expected="0",
                hint="momentum is a setting of sgd",
            )
        if not 0.0 <= self.weight_decay < float("inf"):
            raise ConfigError("local.weight_decay", found=repr(self.weight_decay), expected="a number, 0 or more")
        for name, value in (("batch_size", self.batch_size), ("epochs", self.epochs), ("steps", self.steps)):
            if value is not None and (type(value) is not int or value < 1):
                raise ConfigError(f"local.{name}", found=repr(value), expected="a whole number, 1 or more")


def optimizer_for(model: nn.Module, settings: LocalSettings) -> torch.optim.Optimizer:
    """The torch optimizer that the settings name."""
    # Without foreach: at a few thousand parameters its bookkeeping costs more than the loop that it saves.
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            model.parameters(),
            lr=settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            foreach=False,
        )
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return kind(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, foreach=False)


def fit(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    settings: LocalSettings,
    generator: torch.Generator,
    proximal_mu: float = 0.0,
) -> float:
    """Mean loss over the examples that trained the model in place: x (n, time, features), y (n,) of 0. or 1.

    Each epoch is a fresh permutation drawn from `generator`; the same generator state gives the same weights.
    `proximal_mu` adds FedProx's mu/2 * ||w - w_start||^2 to what is minimised (Li et al. 2020); the loss that is
    returned is without it.

    >>> from fedcredit.models.build import ModelSettings, build
    >>> model = build(ModelSettings("logistic"), features=("debt",), time=1, seed=0)
    >>> x = torch.tensor([[[-1.0]], [[1.0]]])
    >>> loss = fit(
    ...     model, x, torch.tensor([0.0, 1.0]), settings=LocalSettings("sgd", lr=1.0, steps=100),
    ...     generator=torch.Generator().manual_seed(0),
    ... )
    >>> evaluate(model, x).round(1).tolist()
    [0.0, 1.0]
    """
    if len(y) == 0:
        raise TableError("training rows", found="none", expected="at least one", hint="leave this institution out")
    optimizer = optimizer_for(model, settings)
    parameters = list(model.parameters())
    anchors = [(p, p.detach().clone()) for p in model.parameters()] if proximal_mu else []
    model.train()
    total, seen = 0.0, 0
    with _dropout_from(generator, model):
        for rows, labels in _batches(x, y, settings=settings, generator=generator):
            loss = binary_cross_entropy_with_logits(model(rows), labels)
            for parameter in parameters:
                parameter.grad = None  # optimizer.zero_grad, without the compiler's hook that it goes through
            torch.autograd.backward(loss)
            for parameter, start in anchors:
                if parameter.grad is not None:
                    parameter.grad.add_(parameter.detach() - start, alpha=proximal_mu)
            optimizer.step()
            total += loss.item() * len(labels)
            seen += len(labels)
    return total / seen


def evaluate(model: nn.Module, x: Tensor, *, batch_size: int = 8192) -> NDArray[np.float64]:
    """Probabilities (n,) that the model, with dropout off, gives to windows x (n, time, features)."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        logits = [model(rows) for rows in torch.split(x, batch_size)]
    model.train(was_training)
    p: NDArray[np.float64] = torch.sigmoid(torch.cat(logits).double()).numpy()
    return p


def _batches(
    x: Tensor, y: Tensor, *, settings: LocalSettings, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    per_epoch = -(-len(y) // settings.batch_size)
    left = settings.epochs * per_epoch if settings.steps is None else settings.steps
    while left > 0:
        order = torch.randperm(len(y), generator=generator)[: left * settings.batch_size]
        # One gather an epoch: slices of the permuted tensor cost nothing, a DataLoader collates row by row.
        yield from zip(
            torch.split(x[order], settings.batch_size), torch.split(y[order], settings.batch_size), strict=True
        )
        left -= per_epoch


@contextlib.contextmanager
def _dropout_from(generator: torch.Generator, model: nn.Module) -> Iterator[None]:
    """Dropout draws from torch's global generator: lend it a seed from ours, and give it back as it was."""
    if not any(getattr(module, "dropout", 0.0) or getattr(module, "p", 0.0) for module in model.modules()):
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        yield
