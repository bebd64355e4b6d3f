"""The factor model is a sum of its factors, keeps every direction whatever was learnt, and uses trends all the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fedcredit.models.build import ModelSettings, build
from fedcredit.models.factors import Factor
from fedcredit.models.monotone import monotone_violations
from fedcredit.models.nine_factor import Balance, NineFactor, carried
from fedcredit.models.train import LocalSettings, evaluate, fit
from fedcredit.privacy.dpsgd import fit_private

FEATURES = ("debt", "debt_missing", "cash", "ratio", "growth", "present")
FACTORS = (
    Factor("solvency", up=("cash",), down=("debt",), free=("ratio",)),
    Factor("growth", up=("growth",)),
)
SETTINGS = ModelSettings("nine_factor", hidden=6, factors=FACTORS)
TIME = 5


def made(seed: int = 0, *, scatter: float = 0.0) -> NineFactor:
    """A model of the settings; `scatter` moves every weight far from where training starts."""
    model = build(SETTINGS, features=FEATURES, time=TIME, seed=seed)
    assert isinstance(model, NineFactor)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += scatter * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
    return model


def windows(n: int = 200, *, seed: int = 0) -> Tensor:
    """Some histories start late, some cells of debt are missing, as `make_windows` would have it."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, TIME, len(FEATURES), generator=generator)
    x[:, :, 1] = (torch.rand(n, TIME, generator=generator) < 0.3).float()
    x[:, :, 0] *= 1 - x[:, :, 1]
    start = torch.randint(0, TIME, (n, 1), generator=generator) * (torch.rand(n, 1, generator=generator) < 0.3)
    x[:, :, 5] = (torch.arange(TIME)[None] >= start).float()
    x[:, :, :5] *= x[:, :, 5:]
    return x


def test_contributions_and_base_add_up_to_the_logit() -> None:
    for seed in range(5):
        model, x = made(seed, scatter=1.0), 10 * windows(seed=seed)
        with torch.no_grad():
            shares = model.contributions(x)
            assert shares.shape == (200, 2)
            scale = 1 + shares.abs().sum(dim=1)
            assert ((shares.double().sum(dim=1) + model.base - model(x)).abs() / scale < 1e-6).all()
            near = shares.abs().sum(dim=1) < 50
            assert ((shares.sum(dim=1) + model.base - model(x)).abs()[near] < 1e-5).all()


def test_a_factor_hears_its_own_inputs_only() -> None:
    model, x = made(scatter=0.5), windows()
    other = x.clone()
    other[:, :, 4] += 1.0
    with torch.no_grad():
        before, after = model.contributions(x), model.contributions(other)
    assert torch.equal(before[:, 0], after[:, 0])
    assert (before[:, 1] > after[:, 1]).all()


@pytest.mark.parametrize("since", range(TIME))
def test_a_value_that_gets_better_from_any_period_on_never_raises_the_risk(since: int) -> None:
    for seed in range(8):
        model, x = made(seed, scatter=2.0).double(), windows(seed=seed).double()
        with torch.no_grad():
            for place, sign in ((0, -1), (2, 1), (4, 1)):
                better = x.clone()
                better[:, since:, place] += sign * 0.3
                assert (model(better) - model(x)).max() <= 1e-12


def test_labels_that_ask_for_the_wrong_direction_break_a_plain_lstm_and_not_this_model() -> None:
    x = windows(400)
    y = (x[:, -1, 0] - x[:, -1, 2] < 0).float()
    shares = []
    for model in (made(), build(ModelSettings("lstm", hidden=8), features=FEATURES, time=TIME, seed=0)):
        fit(model, x, y, settings=LocalSettings("adam", lr=0.03, epochs=5), generator=torch.Generator().manual_seed(0))
        found = monotone_violations(model, x, features=FEATURES, factors=FACTORS)
        shares.append((found.last, found.window))
    assert shares[0] == (0.0, 0.0)
    assert min(shares[1]) > 0.3


def test_no_direction_is_broken_after_private_training() -> None:
    x = windows(300)
    model = made()
    fit_private(
        model,
        x,
        (x[:, -1, 2] > 0).float(),
        company=np.array([f"c{i}" for i in range(300)]),
        settings=LocalSettings("adam", lr=0.1),
        noise_multiplier=1.0,
        clip=1.0,
        sample_rate=0.5,
        steps=20,
    )
    found = monotone_violations(model, x, features=FEATURES, factors=FACTORS)
    assert (found.last, found.window) == (0.0, 0.0)


def test_a_trend_is_learnt_that_the_last_level_does_not_show() -> None:
    # All end at the same cash; who came from above is sliding, and fails.
    generator = torch.Generator().manual_seed(1)
    x = torch.zeros(200, TIME, len(FEATURES))
    x[:, :, 5] = 1.0
    slope = torch.randn(200, generator=generator)
    x[:, :, 2] = -slope[:, None] * torch.arange(TIME - 1, -1, -1)
    y = (slope < 0).float()
    model = made()
    fit(model, x, y, settings=LocalSettings("adam", lr=0.05, epochs=10), generator=generator)
    assert np.mean((evaluate(model, x) > 0.5) == y.numpy().astype(bool)) > 0.95


def test_an_inner_optimum_is_learnt_from_a_free_input() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.zeros(300, TIME, len(FEATURES))
    x[:, :, 5] = 1.0
    x[:, :, 3] = torch.randn(300, 1, generator=generator)
    y = (x[:, -1, 3].abs() > 0.7).float()
    model = made()
    fit(model, x, y, settings=LocalSettings("adam", lr=0.1, epochs=12), generator=generator)
    assert np.mean((evaluate(model, x) > 0.5) == y.numpy().astype(bool)) > 0.9


def test_what_stands_in_a_missing_cell_or_in_padding_is_not_read() -> None:
    model, x = made(scatter=0.5), windows()
    other = x.clone()
    other[:, :, 0] += 7 * x[:, :, 1]
    other[:, :, :1] += 7 * (1 - x[:, :, 5:])
    assert torch.equal(model(x), model(other))


def test_a_padded_history_scores_as_one_that_stood_still_before() -> None:
    model = made(scatter=0.5)
    short = windows(50)
    short[:, :, 1], short[:, :, 5] = 0.0, 1.0
    short[:, :2] = short[:, 2:3]
    padded = short.clone()
    padded[:, :2] = 0.0
    torch.testing.assert_close(model(padded), model(short))


def test_the_last_known_value_stands_until_the_next_and_the_first_one_before_it() -> None:
    values = torch.tensor([[[9.0, 9.0], [1.0, 9.0], [9.0, 9.0], [2.0, 9.0]]])
    known = torch.tensor([[[False, False], [True, False], [False, False], [True, False]]])
    assert carried(values, known=known)[0].T.tolist() == [[1.0, 1.0, 1.0, 2.0], [0.0, 0.0, 0.0, 0.0]]


def test_a_model_without_free_inputs_or_with_one_unit_or_one_period_works() -> None:
    factors = (Factor("cash", up=("cash",)),)
    model = build(ModelSettings("nine_factor", hidden=1, factors=factors), features=("cash",), time=1, seed=0)
    x = torch.tensor([[[-1.0]], [[1.0]]])
    assert all(parameter.numel() for parameter in model.parameters())
    assert model(x)[0] > model(x)[1]


def test_the_head_is_a_base_with_one_positive_weight_a_factor() -> None:
    head = Balance(2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([-5.0, 3.0]))
        head.bias.fill_(0.25)
    quality = torch.tensor([[1.0, 2.0]])
    assert head.contributions(quality)[0].tolist() == pytest.approx([0.0, -6.0], abs=1e-6)
    assert head(quality).item() == pytest.approx(-5.75, abs=1e-6)
