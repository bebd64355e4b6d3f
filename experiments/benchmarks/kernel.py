"""One step of private training as a multiple of a plain torch step: the kernel's, and that of Opacus's hooks.

python -m experiments.benchmarks.kernel
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from opacus.validators import ModuleValidator
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fedcredit.models.lstm import LSTM
from fedcredit.models.mlp import MLP
from fedcredit.privacy.kernel import Kernel, add_noise
from fedcredit.privacy.randomness import Stream
from fedcredit.privacy.twister import os_generator

CLIP, NOISE, LR = 1.0, 1.0, 1e-3
CALLS = {"mlp": 20, "lstm": 2}  # steps in a timing


@dataclass(frozen=True)
class Shape:
    """A model and its batch; `time` periods of an LSTM."""

    kind: str
    batch: int
    hidden: int = 64
    time: int = 1

    def make(self) -> tuple[nn.Module, Tensor, Tensor]:
        """The model, windows and labels: MLP 30-64-64-1 or LSTM 28-hidden with a linear head."""
        generator = torch.Generator().manual_seed(0)
        y = (torch.rand(self.batch, generator=generator) < 0.3).float()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            if self.kind == "mlp":
                x = torch.randn(self.batch, 1, 30, generator=generator)
                return MLP(time=1, features=30, widths=(self.hidden, self.hidden)), x, y
            x = torch.randn(self.batch, self.time, 28, generator=generator)
            return LSTM(features=28, hidden=self.hidden), x, y


SHAPES = {
    "mlp_64": Shape("mlp", 64),
    "mlp_256": Shape("mlp", 256),
    "mlp_1024": Shape("mlp", 1024),
    "lstm_t8": Shape("lstm", 256, time=8),
    "lstm_t24": Shape("lstm", 256, time=24),
}
QUICKSTART = Shape("lstm", 800, hidden=16, time=12)


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    """The same optimizer for all three, as in `optimizer_for`."""
    return torch.optim.SGD(model.parameters(), lr=LR, foreach=False)


def plain_step(shape: Shape) -> Callable[[], None]:
    """Forward, loss, backward and SGD on nn.Linear and nn.LSTM."""
    model, x, y = shape.make()
    optimizer, parameters = sgd(model), list(model.parameters())

    def step() -> None:
        loss = binary_cross_entropy_with_logits(model(x), y)
        for parameter in parameters:
            parameter.grad = None
        torch.autograd.backward(loss)
        optimizer.step()

    return step


def kernel_step(shape: Shape) -> Callable[[], None]:
    """Clipped sum, noise of the operating system's stream and SGD, as in `fit_private`."""
    model, x, y = shape.make()
    random = Stream()
    kernel, optimizer = Kernel(model, clip=CLIP, random=random), sgd(model)
    for parameter, gradient in zip(kernel.parameters, kernel.gradients, strict=True):
        parameter.grad = gradient

    def step() -> None:
        total, _ = kernel.clipped(x, y)
        add_noise(total, spread=NOISE * CLIP, random=random).div_(len(y))
        optimizer.step()

    return step


def opacus_step(shape: Shape) -> Callable[[], None]:
    """Opacus's hooks and its optimizer, with its own noise; nn.LSTM becomes DPLSTM."""
    model, x, y = shape.make()
    hooked = _hooked(model, loss_reduction="mean")
    optimizer = DPOptimizer(
        sgd(hooked),
        noise_multiplier=NOISE,
        max_grad_norm=CLIP,
        expected_batch_size=shape.batch,
        generator=os_generator(),
    )

    def step() -> None:
        loss = binary_cross_entropy_with_logits(hooked(x), y)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()

    return step


def _hooked(model: nn.Module, *, loss_reduction: str) -> Any:
    with torch.random.fork_rng(devices=[]):
        return GradSampleModule(ModuleValidator.fix(model).train(), loss_reduction=loss_reduction)


def relative_error(shape: Shape) -> float:
    """|kernel - Opacus| / |Opacus| of the clipped sum, every company's gradient cut to half of the median norm."""
    model, x, y = shape.make()
    names = [name for name, _ in model.named_parameters()]
    hooked = _hooked(copy.deepcopy(model), loss_reduction="sum").double()
    loss = binary_cross_entropy_with_logits(hooked(x.double()), y.double(), reduction="sum")
    torch.autograd.backward(loss)
    found = dict(hooked._module.named_parameters())
    rows = torch.cat([found[name].grad_sample.flatten(1) for name in names], dim=1)
    clip = 0.5 * float(rows.norm(dim=1).median())
    expected = (clip / rows.norm(dim=1)).clamp(max=1.0) @ rows
    kernel, _ = Kernel(model, clip=clip, random=Stream()).clipped(x, y)
    return float((kernel.double() - expected).norm() / expected.norm())


def seconds(steps: Mapping[str, Callable[[], None]], *, calls: int, repeats: int) -> dict[str, float]:
    """Median seconds of one step of each, all taking turns so that they meet the same load."""
    took: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(repeats):
        for name, step in steps.items():
            started = time.perf_counter()
            for _ in range(calls):
                step()
            took[name].append((time.perf_counter() - started) / calls)
    return {name: median(times) for name, times in took.items()}


def measure(*, repeats: int = 9, shapes: Mapping[str, Shape] = SHAPES) -> dict[str, Any]:
    """Ratios by shape, the largest relative error, and the seconds that they come from; one thread."""
    timed, errors = {}, []
    with one_thread():
        for key, shape in shapes.items():
            steps = {"plain": plain_step(shape), "kernel": kernel_step(shape), "opacus": opacus_step(shape)}
            timed[key] = seconds(steps, calls=CALLS[shape.kind], repeats=repeats)
            errors.append(relative_error(shape))
    return {
        "kernel_over_plain": {key: round(t["kernel"] / t["plain"], 3) for key, t in timed.items()},
        "opacus_over_plain": {key: round(t["opacus"] / t["plain"], 3) for key, t in timed.items()},
        "opacus_over_kernel": {key: round(t["opacus"] / t["kernel"], 3) for key, t in timed.items()},
        "max_relative_gradient_error": max(errors),
        "step_ms": {key: {name: round(1e3 * s, 3) for name, s in t.items()} for key, t in timed.items()},
    }


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread for a while, and Opacus without its remark on a first layer's input."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Full backward hook is firing", category=UserWarning)
            yield
    finally:
        torch.set_num_threads(before)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.kernel", description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--quickstart", action="store_true", help="the quickstart's step too: LSTM 28-16, 12 x 800")
    asked = parser.parse_args(arguments)
    shapes = SHAPES | ({"quickstart": QUICKSTART} if asked.quickstart else {})
    sys.stdout.write(json.dumps(measure(repeats=asked.repeats, shapes=shapes), indent=1) + "\n")


if __name__ == "__main__":
    main()
