"""Every model maps windows to one logit an example, and splits into a body and a head."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fedcredit.errors import ConfigError
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.factors import Factor
from tests.conftest import FEATURES

ALL = [
    ModelSettings("logistic"),
    ModelSettings("mlp", hidden=6, layers=2, second_hidden=3, dropout=0.1),
    ModelSettings("lstm", hidden=5),
    ModelSettings("lstm", hidden=5, layers=2, dropout=0.1),
    ModelSettings("nine_factor", hidden=5, factors=(Factor("all", up=("cash",), down=("debt",), free=("growth",)),)),
]


@pytest.mark.parametrize("settings", ALL)
def test_a_window_becomes_one_logit(settings: ModelSettings) -> None:
    model = build(settings, features=FEATURES, time=4, seed=0)
    assert model(torch.zeros(7, 4, 3)).shape == (7,)


@pytest.mark.parametrize("settings", ALL)
def test_every_parameter_is_of_the_body_or_of_the_head(settings: ModelSettings) -> None:
    model = build(settings, features=FEATURES, time=4, seed=0)
    names = [name for name, _ in model.named_parameters()]
    assert names == list(model.state_dict())
    assert {name.split(".")[0] for name in names} <= {"body", "head"}
    if settings.kind != "nine_factor":
        assert isinstance(model.head, nn.Linear)
        assert model.head.out_features == 1


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, again, other = (build(ALL[2], features=FEATURES, time=4, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_building_a_model_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    build(ALL[1], features=FEATURES, time=4, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_logistic_model_is_the_weighted_sum_of_its_inputs() -> None:
    model = build(ModelSettings("logistic"), features=FEATURES[:2], time=2, seed=0)
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
        model.head.bias.fill_(0.5)
    assert model(torch.tensor([[[1.0, 0.0], [0.0, -1.0]]])).item() == pytest.approx(1 - 4 + 0.5)


def test_an_lstm_reads_the_periods_in_order() -> None:
    model = build(ALL[2], features=FEATURES, time=4, seed=0)
    x = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(model(x), model(x.flip(1)))


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"kind": "transformer"}, "model.kind"),
        ({"kind": "mlp", "hidden": 0}, "model.hidden"),
        ({"kind": "mlp", "hidden": 8.0}, "model.hidden"),
        ({"kind": "lstm", "layers": 0}, "model.layers"),
        ({"kind": "lstm", "dropout": 1.0}, "model.dropout"),
        ({"kind": "lstm", "dropout": float("nan")}, "model.dropout"),
        ({"kind": "lstm", "second_hidden": 8}, "model.second_hidden"),
        ({"kind": "mlp", "second_hidden": -1}, "model.second_hidden"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(wrong: dict[str, object], where: str) -> None:
    with pytest.raises(ConfigError) as error:
        ModelSettings(**wrong)  # type: ignore[arg-type]
    assert error.value.where == where
