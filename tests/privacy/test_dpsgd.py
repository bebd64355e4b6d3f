"""Private training keeps its promises: one clip a company, noise at every step, nothing replayable from a seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fedcredit.errors import ConfigError, TableError
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.factors import Factor
from fedcredit.models.train import LocalSettings, OptimizerName
from fedcredit.privacy import dpsgd, hooks
from fedcredit.privacy.dpsgd import Engine, fit_private
from fedcredit.privacy.hooks import CompanyRows
from fedcredit.privacy.kernel import add_noise
from fedcredit.privacy.randomness import Stream
from fedcredit.privacy.twister import os_generator
from tests.conftest import FEATURES

SGD = LocalSettings("sgd", lr=1.0)
FACTORS = (Factor("solvency", up=("cash",), down=("debt",)), Factor("growth", free=("growth",)))
ENGINES = ["kernel", "opacus"]
KINDS = [
    ModelSettings("logistic"),
    ModelSettings("mlp", hidden=5),
    ModelSettings("lstm", hidden=5, layers=2),
    ModelSettings("nine_factor", hidden=5, factors=FACTORS),
]


def rows(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 4, 3, generator=generator), (torch.rand(n, generator=generator) < 0.4).float()


def names(n: int) -> np.ndarray:
    return np.array([f"c{i}" for i in range(n)])


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def logistic(inputs: int = 3) -> nn.Module:
    return build(ModelSettings("logistic"), features=[f"x{number}" for number in range(inputs)], time=1, seed=0)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("settings", KINDS)
def test_without_noise_and_clipping_a_step_equals_plain_full_batch_sgd(settings: ModelSettings, engine: Engine) -> None:
    x, y = rows(30)
    private, plain = (build(settings, features=FEATURES, time=4, seed=0) for _ in range(2))
    loss = fit_private(
        private,
        x,
        y,
        company=names(30),
        settings=SGD,
        noise_multiplier=0.0,
        clip=1e9,
        sample_rate=1.0,
        steps=1,
        engine=engine,
    )
    expected = nn.functional.binary_cross_entropy_with_logits(plain(x), y)
    expected.backward()
    torch.optim.SGD(plain.parameters(), lr=1.0).step()
    assert loss == pytest.approx(expected.item(), abs=1e-5)
    torch.testing.assert_close(weights(private), weights(plain), atol=1e-5, rtol=0)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("settings", KINDS)
def test_the_model_stays_a_plain_module_with_plain_names(settings: ModelSettings, engine: Engine) -> None:
    x, y = rows(10)
    model = build(settings, features=FEATURES, time=4, seed=0)
    before, start = list(model.state_dict()), weights(model)
    fit_private(
        model,
        x,
        y,
        company=names(10),
        settings=SGD,
        noise_multiplier=1.0,
        clip=1.0,
        sample_rate=0.5,
        steps=2,
        engine=engine,
    )
    assert list(model.state_dict()) == before
    assert not any("opacus" in type(module).__module__ for module in model.modules())
    assert not any(hasattr(parameter, "grad_sample") for parameter in model.parameters())
    assert not torch.equal(weights(model), start)


@pytest.mark.parametrize("engine", ENGINES)
def test_each_company_is_clipped_before_the_sum(engine: Engine) -> None:
    # Logistic model at 0: a company's gradient is (1/2 - y) * (x, 1). Company a: -(3, 1)/2 of norm 1.58, clipped to
    # norm 1/2; company b: (0, 1)/2 of norm 1/2, left as it is.
    model = logistic(inputs=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    x, y = torch.tensor([[[3.0]], [[0.0]]]), torch.tensor([1.0, 0.0])
    fit_private(
        model,
        x,
        y,
        company=names(2),
        settings=SGD,
        noise_multiplier=0.0,
        clip=0.5,
        sample_rate=1.0,
        steps=1,
        engine=engine,
    )
    long = np.hypot(3.0, 1.0)
    expected = [0.5 * 3 / long / 2, (0.5 * 1 / long - 0.5) / 2]
    np.testing.assert_allclose(weights(model).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("settings", KINDS)
def test_a_clipped_step_equals_one_computed_company_by_company(settings: ModelSettings, engine: Engine) -> None:
    x, y = rows(12)
    private, plain = (build(settings, features=FEATURES, time=4, seed=0) for _ in range(2))
    gradients = []
    for one in range(12):
        plain.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(plain(x[one : one + 1]), y[one : one + 1]).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in plain.parameters() if p.grad is not None]))
    clip = float(torch.stack([g.norm() for g in gradients]).median())
    step = sum(g * min(1.0, clip / float(g.norm())) for g in gradients) / 12
    fit_private(
        private,
        x,
        y,
        company=names(12),
        settings=SGD,
        noise_multiplier=0.0,
        clip=clip,
        sample_rate=1.0,
        steps=1,
        engine=engine,
    )
    torch.testing.assert_close(weights(private), weights(plain) - step, atol=1e-5, rtol=0)


@pytest.mark.parametrize("engine", ENGINES)
def test_noise_has_the_promised_standard_deviation_also_in_empty_batches(engine: Engine) -> None:
    # With inputs of 0 and a chance of 1e-9 to be drawn, 2,000 weights hold noise alone: sigma * clip / (q * n) a step.
    x, y = torch.zeros(4, 1, 2000), torch.zeros(4)
    model = logistic(inputs=2000)
    start = weights(model)
    loss = fit_private(
        model,
        x,
        y,
        company=names(4),
        settings=SGD,
        noise_multiplier=3.0,
        clip=0.5,
        sample_rate=1e-9,
        steps=4,
        engine=engine,
    )
    moved = (weights(model) - start) * (1e-9 * 4)
    assert moved.std().item() == pytest.approx(3.0 * 0.5 * np.sqrt(4), rel=0.1)
    assert np.isnan(loss)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_divisor_is_the_expected_batch_and_not_the_drawn_one(engine: Engine) -> None:
    # Every gradient of the bias is +1/2 at weights 0; a batch of b rows then moves it by b/2 / (0.5 * 100).
    moves = set()
    for _ in range(10):  # five batches are all of one size in one run of 50,000
        model = logistic()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        fit_private(
            model,
            torch.zeros(100, 1, 3),
            torch.zeros(100),
            company=names(100),
            settings=SGD,
            noise_multiplier=0.0,
            clip=10.0,
            sample_rate=0.5,
            steps=1,
            engine=engine,
        )
        rows_drawn = -model.head.bias.item() * 100
        assert rows_drawn == pytest.approx(round(rows_drawn), abs=1e-3)
        moves.add(round(rows_drawn))
    assert len(moves) > 1
    assert all(20 < drawn < 80 for drawn in moves)


@pytest.mark.parametrize("sample_rate", [0.3, 0.5, 1.0, 1 / 93])  # Opacus's own loader yields 92 batches for 1/93
@pytest.mark.parametrize("steps", [1, 7])
def test_exactly_the_asked_number_of_noisy_steps_is_made(
    monkeypatch: pytest.MonkeyPatch, sample_rate: float, steps: int
) -> None:
    engines = []

    class Watched(hooks.PrivacyEngine):
        def __init__(self, **settings: object) -> None:
            super().__init__(**settings)
            engines.append(self)

    monkeypatch.setattr(hooks, "PrivacyEngine", Watched)
    x, y = torch.zeros(8, 1, 3), torch.zeros(8)
    fit_private(
        logistic(),
        x,
        y,
        company=names(8),
        settings=SGD,
        noise_multiplier=1.5,
        clip=1.0,
        sample_rate=sample_rate,
        steps=steps,
        engine="opacus",
    )
    assert [engine.accountant.history for engine in engines] == [[(1.5, sample_rate, steps)]]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_seed_twice_gives_different_noise_and_leaves_the_global_generator_alone(engine: Engine) -> None:
    x, y = rows(20)
    results = []
    for _ in range(2):
        torch.manual_seed(0)
        before = torch.get_rng_state()
        model = build(KINDS[2], features=FEATURES, time=4, seed=0)
        fit_private(
            model,
            x,
            y,
            company=names(20),
            settings=SGD,
            noise_multiplier=1.0,
            clip=1.0,
            sample_rate=1.0,
            steps=1,
            engine=engine,
        )
        assert torch.equal(torch.get_rng_state(), before)
        results.append(weights(model))
    assert not torch.equal(*results)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_seed_twice_gives_different_batches(engine: Engine) -> None:
    x, y = rows(200)
    results = []
    for _ in range(2):
        torch.manual_seed(0)
        model = build(KINDS[0], features=FEATURES, time=4, seed=0)
        fit_private(
            model,
            x,
            y,
            company=names(200),
            settings=SGD,
            noise_multiplier=0.0,
            clip=1.0,
            sample_rate=0.5,
            steps=1,
            engine=engine,
        )
        results.append(weights(model))
    assert not torch.equal(*results)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_company_with_24_rows_has_the_same_influence_bound_as_one_with_a_single_row(engine: Engine) -> None:
    # 24 rows of company a pull the bias up and one row of b pulls it down, each by one clip: they cancel.
    model = logistic()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    company = np.array(["a"] * 24 + ["b"])
    y = torch.tensor([1.0] * 24 + [0.0])
    fit_private(
        model,
        torch.zeros(25, 1, 3),
        y,
        company=company,
        settings=SGD,
        noise_multiplier=0.0,
        clip=0.1,
        sample_rate=1.0,
        steps=1,
        engine=engine,
    )
    np.testing.assert_allclose(weights(model).numpy(), 0.0, atol=1e-7)


def test_a_drawn_company_contributes_one_uniform_row_of_its_own() -> None:
    company = np.array(["b", "a", "b", "c", "b"])
    x = torch.arange(5.0).reshape(5, 1, 1)
    companies = CompanyRows(x, x.flatten(), company=company, generator=os_generator())
    assert len(companies) == 3
    drawn = np.array([companies.__getitems__([0, 1, 2])[1].numpy() for _ in range(600)])
    assert set(drawn[:, 0]) == {1.0}
    assert set(drawn[:, 2]) == {3.0}
    counts = [int((drawn[:, 1] == row).sum()) for row in (0.0, 2.0, 4.0)]
    assert sum(counts) == 600
    assert min(counts) > 130  # 200 expected, standard deviation 11.5


@pytest.mark.parametrize("engine", ENGINES)
def test_a_gradient_that_overflows_cannot_be_seen_through_the_noise(engine: Engine) -> None:
    # Weights chosen by a hostile server: the only company's gradient is not a number. It counts as 0.
    x, y = torch.full((1, 4, 3), 1e30), torch.ones(1)
    model = build(ModelSettings("mlp", hidden=5), features=FEATURES, time=4, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1e30)
    fit_private(
        model,
        x,
        y,
        company=names(1),
        settings=SGD,
        noise_multiplier=1.0,
        clip=1.0,
        sample_rate=1.0,
        steps=1,
        engine=engine,
    )
    assert torch.isfinite(weights(model)).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"clip": 0.0},
        {"clip": float("inf")},
        {"clip": float("nan")},
        {"sample_rate": 0.0},
        {"sample_rate": 1.1},
        {"steps": 0},
        {"noise_multiplier": -1.0},
        {"noise_multiplier": float("nan")},
        {"engine": "ghost"},
        {"clipping": "ghost"},
    ],
)
def test_an_impossible_plan_is_refused_before_training_starts(wrong: dict[str, object]) -> None:
    x, y = rows(5)
    model = build(KINDS[0], features=FEATURES, time=4, seed=0)
    start = weights(model)
    plan = {"noise_multiplier": 1.0, "clip": 1.0, "sample_rate": 0.5, "steps": 1} | wrong
    with pytest.raises(ConfigError):
        fit_private(model, x, y, company=names(5), settings=SGD, **plan)  # type: ignore[arg-type]
    assert torch.equal(weights(model), start)


def test_no_rows_are_refused() -> None:
    x, y = torch.zeros(0, 1, 3), torch.zeros(0)
    with pytest.raises(TableError):
        fit_private(
            logistic(), x, y, company=names(0), settings=SGD, noise_multiplier=1.0, clip=1.0, sample_rate=0.5, steps=1
        )


def test_the_kernel_adds_noise_at_each_of_the_asked_steps_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    spreads = []

    def counted(total: torch.Tensor, *, spread: float, random: Stream) -> torch.Tensor:
        spreads.append(spread)
        return add_noise(total, spread=spread, random=random)

    monkeypatch.setattr(dpsgd, "add_noise", counted)
    x, y = rows(8)
    model = build(KINDS[0], features=FEATURES, time=4, seed=0)
    fit_private(model, x, y, company=names(8), settings=SGD, noise_multiplier=1.5, clip=2.0, sample_rate=1e-6, steps=7)
    assert spreads == [3.0] * 7


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("settings", KINDS, ids=lambda one: one.kind)
def test_steps_that_draw_no_company_are_noisy_steps_of_every_model(settings: ModelSettings, engine: Engine) -> None:
    x, y = rows(8)
    model = build(settings, features=FEATURES, time=4, seed=0)
    start = weights(model)
    plan = {"noise_multiplier": 1.0, "clip": 1.0, "sample_rate": 1e-9, "steps": 2}
    loss = fit_private(model, x, y, company=names(8), settings=SGD, engine=engine, **plan)  # type: ignore[arg-type]
    assert np.isnan(loss)
    assert torch.isfinite(weights(model)).all()
    assert not torch.equal(weights(model), start)


def test_a_layer_that_the_kernel_does_not_know_trains_with_opacus_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    x, y = rows(8)
    for settings, engine, lines in ((KINDS[3], "kernel", 1), (KINDS[3], "opacus", 0), (KINDS[1], "kernel", 0)):
        caplog.clear()
        model = build(settings, features=FEATURES, time=4, seed=0)
        start = weights(model)
        plan = {"noise_multiplier": 1.0, "clip": 1.0, "sample_rate": 0.5, "steps": 1}
        fit_private(model, x, y, company=names(8), settings=SGD, engine=engine, **plan)  # type: ignore[arg-type]
        assert not torch.equal(weights(model), start)
        assert [record.levelname for record in caplog.records] == ["WARNING"] * lines
        assert all("NineFactor" in record.message and "opacus" in record.message for record in caplog.records)


@pytest.mark.parametrize("engine", ENGINES)
def test_per_layer_clipping_limits_each_tensor_to_its_share(engine: Engine) -> None:
    # Logistic model at 0 and one company with x = 3: gradients -3/2 and -1/2, each cut to 0.4 / sqrt(2).
    model = logistic(inputs=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    x, y = torch.full((1, 1, 1), 3.0), torch.ones(1)
    fit_private(
        model,
        x,
        y,
        company=names(1),
        settings=SGD,
        noise_multiplier=0.0,
        clip=0.4,
        sample_rate=1.0,
        steps=1,
        engine=engine,
        clipping="per_layer",
    )
    np.testing.assert_allclose(weights(model).numpy(), 0.4 / np.sqrt(2), atol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_every_optimizer_makes_the_steps_that_it_makes_under_opacus(optimizer: OptimizerName) -> None:
    settings = LocalSettings(optimizer, lr=0.05, momentum=0.9 * (optimizer == "sgd"), weight_decay=0.1)
    x, y = rows(12)
    results = []
    for engine in ENGINES:
        model = build(KINDS[2], features=FEATURES, time=4, seed=0)
        plan = {"noise_multiplier": 0.0, "clip": 0.05, "sample_rate": 1.0, "steps": 4}
        loss = fit_private(model, x, y, company=names(12), settings=settings, engine=engine, **plan)  # type: ignore[arg-type]
        results.append((weights(model), loss))
    torch.testing.assert_close(results[0][0], results[1][0], atol=1e-4, rtol=0)
    assert results[0][1] == pytest.approx(results[1][1], abs=1e-5)
