"""Training is what a plain torch loop does, replayable from a generator; scoring gives probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from fedcredit.errors import ConfigError, TableError
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.train import LocalSettings, evaluate, fit
from tests.conftest import FEATURES


def rows(n: int, *, time: int = 2, features: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, time, features, generator=generator)
    return x, (x[:, -1, 0] > 0).float()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_one_epoch_equals_a_plain_torch_loop() -> None:
    x, y = rows(150)
    ours = build(ModelSettings("mlp", hidden=4), features=FEATURES, time=2, seed=0)
    plain = build(ModelSettings("mlp", hidden=4), features=FEATURES, time=2, seed=0)
    fit(ours, x, y, settings=LocalSettings("sgd", lr=0.1, batch_size=64), generator=seeded())
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    for batch in torch.randperm(150, generator=seeded()).split(64):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(plain(x[batch]), y[batch]).backward()
        optimizer.step()
    assert torch.equal(weights(ours), weights(plain))


def test_the_loss_is_the_mean_over_examples_and_not_over_batches() -> None:
    # Logits stay 0 (zero weights, a step too small to matter), so that every example costs ln 2, in batches of 4 and 1.
    x, y = rows(5)
    model = build(ModelSettings("logistic"), features=FEATURES, time=2, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    loss = fit(model, x, y, settings=LocalSettings("sgd", lr=1e-12, batch_size=4), generator=seeded())
    assert loss == pytest.approx(math.log(2))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_every_optimizer_learns(optimizer: str) -> None:
    x, y = rows(200)
    model = build(ModelSettings("lstm", hidden=8), features=FEATURES, time=2, seed=0)
    lr = 0.5 if optimizer == "sgd" else 0.05
    settings = LocalSettings(optimizer, lr=lr, epochs=20)  # type: ignore[arg-type]
    fit(model, x, y, settings=settings, generator=seeded())
    assert np.mean((evaluate(model, x) > 0.5) == y.numpy().astype(bool)) > 0.95


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_same_generator_gives_the_same_weights(dropout: float) -> None:
    x, y = rows(100)
    results = []
    for seed, other in ((3, 0), (3, 99), (4, 0)):
        torch.manual_seed(other)
        before = torch.get_rng_state()
        model = build(ModelSettings("lstm", dropout=dropout), features=FEATURES, time=2, seed=0)
        fit(model, x, y, settings=LocalSettings(lr=0.01, epochs=2), generator=seeded(seed))
        assert torch.equal(torch.get_rng_state(), before)
        results.append(weights(model))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@pytest.mark.parametrize(("steps", "expected"), [(1, 4), (3, 10), (4, 14), (7, 24)])
def test_steps_override_epochs_and_cycle_over_permutations(steps: int, expected: int) -> None:
    # Ten rows come in batches of 4, 4 and 2, then again from a new permutation.
    model = build(ModelSettings("logistic"), features=FEATURES, time=2, seed=0)
    seen = []
    model.register_forward_hook(lambda _module, _inputs, logits: seen.append(len(logits)))
    x, y = rows(10)
    fit(model, x, y, settings=LocalSettings("sgd", batch_size=4, epochs=50, steps=steps), generator=seeded())
    assert len(seen) == steps
    assert sum(seen) == expected


def test_the_proximal_term_holds_the_weights_near_their_start() -> None:
    x, y = rows(100)
    start = weights(build(ModelSettings("logistic"), features=FEATURES, time=2, seed=0))
    moved = []
    for mu in (0.0, 1.0, 100.0):
        model = build(ModelSettings("logistic"), features=FEATURES, time=2, seed=0)
        settings = LocalSettings("sgd", lr=0.01, epochs=20, batch_size=100)
        fit(model, x, y, settings=settings, generator=seeded(), proximal_mu=mu)
        moved.append(float((weights(model) - start).norm()))
    assert moved[0] > moved[1] > moved[2] > 0


def test_the_proximal_gradient_is_mu_times_the_distance() -> None:
    # Two full-batch steps by hand: w2 = w1 - lr * (g(w1) + mu * (w1 - w0)).
    x, y = rows(8)
    model, hand = (build(ModelSettings("logistic"), features=FEATURES, time=2, seed=0) for _ in range(2))
    settings = LocalSettings("sgd", lr=0.5, batch_size=8, epochs=2)
    fit(model, x, y, settings=settings, generator=seeded(), proximal_mu=0.3)
    w0 = [p.detach().clone() for p in hand.parameters()]
    for _ in range(2):
        loss = nn.functional.binary_cross_entropy_with_logits(hand(x), y)
        gradients = torch.autograd.grad(loss, list(hand.parameters()))
        with torch.no_grad():
            for parameter, start, gradient in zip(hand.parameters(), w0, gradients, strict=True):
                parameter -= 0.5 * (gradient + 0.3 * (parameter - start))
    torch.testing.assert_close(weights(model), weights(hand))


def test_probabilities_do_not_depend_on_the_batch_and_come_without_dropout() -> None:
    x, _ = rows(50)
    model = build(ModelSettings("mlp", dropout=0.5), features=FEATURES, time=2, seed=0).train()
    p = evaluate(model, x)
    assert p.dtype == np.float64
    assert p.shape == (50,)
    assert ((p > 0) & (p < 1)).all()
    np.testing.assert_allclose(p, evaluate(model, x, batch_size=7), rtol=1e-6)
    assert model.training


def test_no_rows_are_refused_before_training_starts() -> None:
    model = build(ModelSettings("logistic"), features=FEATURES, time=2, seed=0)
    with pytest.raises(TableError):
        fit(model, torch.zeros(0, 2, 3), torch.zeros(0), settings=LocalSettings(steps=3), generator=seeded())


@pytest.mark.parametrize(
    "wrong",
    [
        {"optimizer": "lbfgs"},
        {"lr": 0.0},
        {"lr": float("nan")},
        {"lr": float("inf")},
        {"momentum": 1.0, "optimizer": "sgd"},
        {"momentum": 0.9},
        {"weight_decay": -0.1},
        {"batch_size": 0},
        {"epochs": 0},
        {"epochs": 1.5},
        {"steps": 0},
    ],
)
def test_a_wrong_setting_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"^local\."):
        LocalSettings(**wrong)  # type: ignore[arg-type]
