"""Contributions add up to the difference of the log-odds, and are those that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedcredit.data.schema import Column, Label, Schema
from fedcredit.errors import ModelError
from fedcredit.models.attribution import attribute, columns_of, integrated, typical_inputs
from fedcredit.models.build import Kind, ModelSettings, build
from fedcredit.models.factors import Factor
from fedcredit.models.logistic import Logistic
from fedcredit.models.lstm import LSTM
from fedcredit.models.nine_factor import NineFactor
from fedcredit.models.what_if import WhatIf

SCHEMA = Schema(
    (
        Column("debt", "raw", nullable=True),
        Column("cash", "raw"),
        Column("ratio", "ratio", lo=0, hi=4, scale=2.0),
        Column("growth", "raw"),
    ),
    Label("bad"),
    company="id",
    period="month",
)
FEATURES = ("debt", "debt_missing", "cash", "ratio", "growth", "present")
FACTORS = (
    Factor("solvency", up=("cash",), down=("debt",), free=("ratio",)),
    Factor("growth", up=("growth",)),
)
TIME = 5
TYPICAL = {"debt": 0.5, "cash": -0.2, "ratio": 1.0, "growth": 0.1}
COLUMNS = columns_of(SCHEMA, FEATURES)


def made(kind: Kind, seed: int = 0, scatter: float = 0.3) -> nn.Module:
    settings = ModelSettings(kind, hidden=6, factors=FACTORS if kind == "nine_factor" else ())
    model = build(settings, features=FEATURES, time=TIME, seed=seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += scatter * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
    return model


def windows(n: int = 300, *, seed: int = 0) -> NDArray[np.float32]:
    """Some histories start late, some cells of debt are missing, as `make_windows` would have it."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, TIME, len(FEATURES))).astype(np.float32)
    x[:, :, 1] = rng.random((n, TIME)) < 0.3
    x[:, :, 0] *= 1 - x[:, :, 1]
    start = rng.integers(0, TIME, n) * (rng.random(n) < 0.3)
    x[:, :, 5] = np.arange(TIME) >= start[:, None]
    x[:, :, :5] *= x[:, :, 5:]
    return x


def typical() -> NDArray[np.float32]:
    return typical_inputs(SCHEMA, TYPICAL, FEATURES)


def test_a_typical_company_has_its_values_transformed_and_nothing_missing() -> None:
    assert typical() == pytest.approx([0.5, 0.0, -0.2, 0.5, 0.1, 1.0])
    assert COLUMNS == ("debt", "debt", "cash", "ratio", "growth", "present")
    with pytest.raises(ModelError, match="none for 'growth'"):
        typical_inputs(SCHEMA, {"debt": 1, "cash": 1, "ratio": 1}, FEATURES)


def test_inputs_that_are_not_those_of_the_schema_are_refused() -> None:
    with pytest.raises(ModelError, match="inputs"):
        columns_of(SCHEMA, FEATURES[:3])
    with pytest.raises(ModelError, match="inputs"):
        columns_of(SCHEMA, ("cash", *FEATURES[1:]))


def test_contributions_of_a_logistic_are_weight_times_distance_from_typical() -> None:
    model = Logistic(time=2, features=2)
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[1.0, 10.0, 2.0, 20.0]]))
        model.head.bias.fill_(3.0)
    x = np.array([[[5, 7], [6, 8]]], dtype=np.float32)
    found = attribute(model, x, columns=("a", "b"), typical=np.array([1, 2], dtype=np.float32))
    # a: 1 * (5 - 1) + 2 * (6 - 1) = 14; b: 10 * (7 - 2) + 20 * (8 - 2) = 170; typical: 3 + 1 + 20 + 2 + 40 = 66
    assert found.shares.tolist() == [[14.0, 170.0]]
    assert found.typical_logit == 66.0
    assert found.logit.tolist() == [250.0]
    assert found.factors == ()
    assert found.by_factor.shape == (1, 0)


def test_a_short_history_is_a_contribution_of_its_own() -> None:
    model = Logistic(time=2, features=2)
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[1.0, 10.0, 2.0, 20.0]]))
        model.head.bias.zero_()
    x = np.array([[[0, 0], [6, 1]]], dtype=np.float32)
    found = attribute(model, x, columns=("a", "present"), typical=np.array([1, 1], dtype=np.float32))
    assert found.columns == ("a", "present")
    assert found.shares.tolist() == [[10.0, -11.0]]  # 2 * (6 - 1); the empty period takes 1 * 1 + 10 * 1 away


@pytest.mark.parametrize("kind", ["logistic", "mlp", "lstm", "nine_factor"])
def test_contributions_add_up_to_the_difference_of_the_log_odds(kind: Kind) -> None:
    for seed in range(3):
        model, x = made(kind, seed), windows(seed=seed)
        found = attribute(model, x, columns=COLUMNS, typical=typical())
        with torch.no_grad():
            logit = model(torch.from_numpy(x)).double().numpy()
            base = model(torch.from_numpy(np.tile(typical(), (1, TIME, 1)))).item()
        assert found.logit == pytest.approx(logit, abs=1e-5)
        assert found.typical_logit == pytest.approx(base, abs=1e-6)
        assert found.shares.sum(axis=1) == pytest.approx(logit - base, abs=1e-4)
        assert found.gap <= 0.01
        assert np.abs(found.shares).max() > 0.1


def test_contributions_of_a_factor_model_add_up_factor_by_factor() -> None:
    for seed in range(3):
        model, x = made("nine_factor", seed, scatter=1.0), windows(seed=seed)
        assert isinstance(model, NineFactor)
        found = attribute(model, x, columns=COLUMNS, typical=typical())
        with torch.no_grad():
            own = model.contributions(torch.from_numpy(x)).double().numpy()
            base = model.contributions(torch.from_numpy(np.tile(typical(), (1, TIME, 1)))).double().numpy()
        assert found.factors == ("solvency", "growth")
        assert found.by_factor == pytest.approx(own - base, abs=1e-4)
        at = [found.columns.index(name) for name in ("debt", "cash", "ratio")]
        assert found.shares[:, at].sum(axis=1) == pytest.approx(found.by_factor[:, 0], abs=1e-4)
        assert found.shares[:, found.columns.index("growth")] == pytest.approx(found.by_factor[:, 1], abs=1e-4)
        assert (found.shares[:, found.columns.index("present")] == 0).all()


@pytest.mark.parametrize("kind", ["mlp", "lstm", "nine_factor"])
def test_a_finer_integral_gives_the_same_contributions(kind: Kind) -> None:
    model, x = made(kind, scatter=0.7), windows(100)
    coarse = attribute(model, x, columns=COLUMNS, typical=typical()).shares
    fine = attribute(model, x, columns=COLUMNS, typical=typical(), tolerance=3e-3).shares
    assert np.abs(coarse - fine).max() < 0.05
    assert np.abs(coarse - fine).mean() < 0.002


def test_a_typical_company_has_no_contributions() -> None:
    x = np.tile(typical(), (1, TIME, 1))
    for kind in ("logistic", "mlp", "lstm", "nine_factor"):
        assert attribute(made(kind), x, columns=COLUMNS, typical=typical()).shares == pytest.approx(0, abs=1e-6)


def test_a_worse_value_in_every_period_never_speaks_for_the_company() -> None:
    for seed in range(5):
        model = made("nine_factor", seed, scatter=1.0)
        x = np.tile(typical(), (40, TIME, 1)).astype(np.float32)
        x[:, :, 0] += np.linspace(0.1, 4, 40, dtype=np.float32)[:, None]  # debt, where more is worse
        shares = attribute(model, x, columns=COLUMNS, typical=typical()).shares
        assert (shares[:, 0] >= 0).all()
        assert shares[-1, 0] > 0


def test_an_integral_that_cannot_be_had_is_an_error() -> None:
    def jumps(x: Tensor) -> Tensor:
        return 0 * x.sum(dim=1) + (x[:, 0] > 0.5).float()

    end, start = torch.ones(1, 2), torch.zeros(1, 2)
    with pytest.raises(ModelError, match="miss the difference"):
        integrated(jumps, end, start, owner=torch.zeros(2, dtype=torch.long), wanted=torch.ones(1, 1).double())


def test_a_rough_row_is_integrated_more_finely() -> None:
    def kinked(x: Tensor) -> Tensor:
        return torch.relu(100 * (x[:, 0] - 0.777))

    end, start = torch.ones(1, 1), torch.zeros(1, 1)
    wanted = torch.full((1, 1), 22.3, dtype=torch.float64)
    shares, gap = integrated(kinked, end, start, owner=torch.zeros(1, dtype=torch.long), wanted=wanted, tolerance=0.05)
    assert shares.item() == pytest.approx(22.3, abs=1e-9)
    assert gap.item() <= 0.05


@pytest.mark.parametrize("kind", ["mlp", "lstm"])
def test_integrated_gradients_are_those_of_captum(kind: Kind) -> None:
    attr = pytest.importorskip("captum.attr")
    model, x = made(kind).eval(), windows(20)
    x = x[x[:, 0, 5] == 1]
    found = attribute(model, x, columns=FEATURES, typical=typical(), tolerance=1e-3)
    start = torch.from_numpy(typical()).expand(1, TIME, -1)
    theirs = attr.IntegratedGradients(model).attribute(torch.from_numpy(x), start, n_steps=500)
    assert found.shares == pytest.approx(theirs.sum(dim=1).detach().numpy(), abs=1e-2)


@pytest.mark.parametrize("kind", ["logistic", "lstm", "nine_factor"])
def test_another_value_is_scored_as_the_whole_model_would(kind: Kind) -> None:
    model, x = made(kind, scatter=0.7), windows()
    logit = attribute(model, x, columns=COLUMNS, typical=typical()).logit
    ask = WhatIf(model, x, SCHEMA, FEATURES, logit)
    rows = np.array([3, 3, 0, 299], dtype=np.intp)
    for column, inputs, values, made_of in (
        ("debt", [0, 1], [1.0, -2.0, 0.5, 3.0], [[1, 0], [-2, 0], [0.5, 0], [3, 0]]),
        ("ratio", [3], [1.0, 2.0, 9.0, 0.5], [[0.5], [1], [2], [0.25]]),  # clipped to 0..4, divided by 2
        ("growth", [4], [1.0, -2.0, 0.5, 3.0], [[1], [-2], [0.5], [3]]),
    ):
        changed = x[rows].copy()
        changed[:, -1, inputs] = made_of
        with torch.no_grad():
            wanted = model.eval()(torch.from_numpy(changed)).numpy()
        assert ask(column, rows, np.array(values)) == pytest.approx(wanted, abs=2e-5)


def test_a_factor_without_free_inputs_keeps_its_constant_state() -> None:
    model, x = made("nine_factor", scatter=1.0), windows()
    logit = attribute(model, x, columns=COLUMNS, typical=typical()).logit
    rows = np.arange(300, dtype=np.intp)
    same = WhatIf(model, x, SCHEMA, FEATURES, logit)("growth", rows, x[:, -1, 4].astype(np.float64))
    assert same == pytest.approx(logit, abs=1e-5)


def test_attribution_leaves_the_model_as_it_was() -> None:
    model = LSTM(features=6, hidden=3, dropout=0.5)
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    attribute(model, windows(5), columns=COLUMNS, typical=typical())
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
