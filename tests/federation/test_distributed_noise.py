"""Noise shared over a masked sum, end to end: the mean carries it once, and is the mean of clipped gradients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits

from fedcredit.federation.messages import Masking, PrivacyTerms, Task
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.train import LocalSettings
from fedcredit.privacy.accounting import solve_noise
from server.app import initial_arrays
from tests.conftest import Nodes
from tests.federation.conftest import make_task
from tests.federation.test_masked import NAMES, masked

MakeNodes = Callable[..., Nodes]
CAP = 112  # of the banks' 60 to 140 training companies: 60, 80, 100, 112 and 112 count


def distributed_task(*, epsilon: float, clip: float, model: ModelSettings) -> Task:
    terms = PrivacyTerms(epsilon, 1e-5, clip, sample_rate=1.0, steps=1, rounds=1, noise="distributed")
    masking = Masking((NAMES[:5],), limit=16.0)
    return make_task(
        masking=masking, privacy=terms, metrics="none", model=model, local=LocalSettings("sgd", lr=1.0, steps=1)
    )


def moved_by(banks: Nodes, folder: Path, task: Task) -> NDArray[np.float64]:
    """What one round of FedAvg added to the model."""
    conducted = masked(banks, folder, task=task, plan={"rounds": 1})
    before = initial_arrays(task)
    return np.concatenate([(conducted.state.arrays[name] - before[name]).ravel() for name in before])


def test_distributed_noise_is_in_the_mean_once_and_not_five_times(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = nodes(5, **{"open-rows": True})
    task = distributed_task(epsilon=0.05, clip=1.0, model=ModelSettings("mlp", hidden=64, second_hidden=32))
    moved = moved_by(banks, tmp_path, task)
    assert len(moved) > 2500  # so that a standard deviation is within 9 % with a probability of 1 - 1e-9
    noise = solve_noise(0.05, delta=1e-5, sample_rate=1.0, steps=1)
    weight = sum(min(len(bank.part("train")), CAP) for bank in banks.windows)
    # Of five, one may collude: the shares of four make up the noise, and those of five are there.
    assert moved.std() == pytest.approx(noise * np.sqrt(5 / 4) / weight, rel=0.09)


def test_with_little_noise_the_distributed_sum_is_the_mean_of_clipped_gradients(
    nodes: MakeNodes, tmp_path: Path
) -> None:
    banks = nodes(5, **{"open-rows": True})
    task = distributed_task(epsilon=20.0, clip=0.5, model=ModelSettings("logistic"))
    moved = moved_by(banks, tmp_path, task)
    model = build(task.model, features=task.features, time=task.time, seed=task.seed)
    total, weight = np.zeros(len(moved)), 0
    for bank in banks.windows:
        rows, mine = bank.part("train"), np.zeros(len(moved))
        for x, y in zip(rows.x, rows.y, strict=True):
            loss = binary_cross_entropy_with_logits(model(torch.from_numpy(x[None])), torch.tensor([y]))
            gradient = torch.cat([g.ravel() for g in torch.autograd.grad(loss, list(model.parameters()))]).numpy()
            mine += gradient * min(1.0, 0.5 / np.linalg.norm(gradient))
        kept = min(len(rows), CAP)
        total, weight = total + mine * kept / len(rows), weight + kept
    sigma = solve_noise(20.0, delta=1e-5, sample_rate=1.0, steps=1) * 0.5 * np.sqrt(5 / 4) / weight
    np.testing.assert_allclose(moved, -total / weight, rtol=0, atol=7 * sigma)
    assert np.abs(total / weight).max() > 20 * sigma
