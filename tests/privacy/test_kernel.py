"""The kernel sums clipped gradients as slower ways do; no company moves a sum by more than a clip or is seen in it."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fedcredit.errors import ConfigError, TableError
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.factors import Factor
from fedcredit.models.lstm import LSTM
from fedcredit.models.mlp import MLP
from fedcredit.privacy.chain import UnknownLayer, chain_of
from fedcredit.privacy.kernel import Clipping, Kernel, add_noise, clipped_sum
from fedcredit.privacy.randomness import Stream
from fedcredit.privacy.taps import outer_squared
from tests.privacy.references import by_hooks, by_vmap, clipped, norms

CODES = 5
PHASES = (Phase.generate,)  # a failing example is small enough as it is
KINDS = ["logistic", "mlp", "deep mlp", "lstm", "stacked lstm", "periods", "norms", "periods and norm", "codes", "code"]


def made(kind: str, *, time: int, features: int, hidden: int, seed: int) -> nn.Module:
    inputs = [f"x{number}" for number in range(features)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        own = {
            "periods": lambda: [nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 2, bias=False), nn.Tanh()],
            "norms": lambda: [nn.Flatten(), nn.Linear(time * features, hidden), nn.LayerNorm(hidden)],
            "periods and norm": lambda: [nn.Linear(features, hidden), nn.LayerNorm(hidden), nn.Tanh()],
            "codes": lambda: [nn.Embedding(CODES, hidden), nn.Linear(hidden, hidden), nn.Tanh()],
            "code": lambda: [nn.Embedding(CODES, hidden), nn.Tanh()],
        }
        if kind in own:
            width = {"periods": 2 * time, "norms": hidden, "code": hidden}.get(kind, time * hidden)
            return nn.Sequential(*own[kind](), nn.Flatten(), nn.Linear(width, 1))
    layers = 2 if kind in ("deep mlp", "stacked lstm") else 1
    shape = ModelSettings(kind.split()[-1], hidden=hidden, layers=layers)  # type: ignore[arg-type]
    return build(shape, features=inputs, time=time, seed=seed)


def batch(kind: str, *, n: int, time: int, features: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = (torch.rand(n, generator=generator) < 0.4).float()
    if kind in ("code", "codes"):
        codes = torch.randint(CODES, (n, time), generator=generator)
        return codes[:, 0] if kind == "code" else codes, y
    return torch.randn(n, time, features, generator=generator), y


def error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("clipping", ["flat", "per_layer"])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=4, derandomize=True, phases=PHASES)
@given(
    n=st.integers(1, 9),
    time=st.integers(1, 6),
    features=st.integers(1, 5),
    hidden=st.integers(2, 7),
    seed=st.integers(0, 2**31),
    share=st.sampled_from([0.2, 1.0, 5.0]),
)
def test_the_clipped_sum_is_that_of_vmap_and_of_opacus_hooks(
    kind: str, clipping: Clipping, n: int, time: int, features: int, hidden: int, seed: int, share: float
) -> None:
    model = made(kind, time=time, features=features, hidden=hidden, seed=seed)
    x, y = batch(kind, n=n, time=time, features=features, seed=seed)
    expected = by_vmap(model, x, y)
    clip = share * float(norms(expected).median())
    found, _ = Kernel(model, clip=clip, clipping=clipping, random=Stream()).clipped(x, y)
    for gradients in (expected, by_hooks(model, x, y)):
        assert error(found, clipped(gradients, clip=clip, per_layer=clipping == "per_layer")) < 1e-5


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", ["mlp", "lstm"])
def test_dropout_leaves_the_same_units_out_forth_and_back(kind: str, layers: int) -> None:
    class Coins(Stream):
        """Every third unit is left out."""

        def chosen(self, count: int, *, chance: float) -> np.ndarray:
            return np.arange(count) % 3 != 0

    class Fixed(nn.Module):
        def __init__(self, p: float) -> None:
            super().__init__()
            self.p = p

        def forward(self, x: Tensor) -> Tensor:
            keep = torch.from_numpy(np.arange(x.numel()) % 3 != 0).reshape(x.shape)
            return x * keep / (1 - self.p)

    x, y = batch(kind, n=7, time=3, features=4, seed=1)
    model = build(
        ModelSettings(kind, hidden=6, layers=layers, dropout=0.25),  # type: ignore[arg-type]
        features=["a", "b", "c", "d"],
        time=3,
        seed=0,
    )
    found, _ = Kernel(model, clip=1e9, random=Coins()).clipped(x, y)
    plain = copy.deepcopy(model).double()
    out = x.double()
    if isinstance(plain, LSTM):
        for layer in range(layers):
            single = nn.LSTM(out.shape[2], 6, batch_first=True).double()
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            for name in names:  # the parameter itself, so that its gradient is the model's
                setattr(single, f"{name}_l0", getattr(plain.body, f"{name}_l{layer}"))
            out, _ = single(out)
            out = Fixed(0.25)(out if layer < layers - 1 else out[:, -1])
        logits = plain.head(out)
    else:
        assert isinstance(plain, MLP)
        body = [Fixed(part.p) if isinstance(part, nn.Dropout) else part for part in plain.body]
        logits = plain.head(nn.Sequential(*body)(out.flatten(1)))
    nn.functional.binary_cross_entropy_with_logits(logits.squeeze(-1), y.double(), reduction="sum").backward()
    expected = torch.cat([p.grad.flatten() for p in plain.parameters() if p.grad is not None])
    assert error(found, expected) < 1e-5


@pytest.mark.parametrize("clipping", ["flat", "per_layer"])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=6, derandomize=True, phases=PHASES)
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([1e-3, 1.0, 1e3, 1e10]), clip=st.sampled_from([1e-3, 1.0]))
def test_no_company_moves_the_sum_by_more_than_the_clip(
    kind: str, clipping: Clipping, seed: int, scale: float, clip: float
) -> None:
    model = made(kind, time=4, features=3, hidden=5, seed=seed)
    x, y = batch(kind, n=1, time=4, features=3, seed=seed)
    with torch.no_grad():
        model[-1].weight.mul_(scale) if isinstance(model, nn.Sequential) else model.head.weight.mul_(scale)
    found, _ = Kernel(model, clip=clip, clipping=clipping, random=Stream()).clipped(x, y)
    assert float(found.double().norm()) <= clip


def test_weights_that_make_terms_cancel_cannot_make_a_long_gradient_look_short() -> None:
    # Two periods that are nearly equal, weighed against each other by a head of 1e8: of terms of 1e8 is left 1e3.
    model = nn.Sequential(nn.Linear(3, 1), nn.Flatten(), nn.Linear(2, 1))
    with torch.no_grad():
        model[2].weight.copy_(torch.tensor([[1e8, -1e8]]))
        model[2].bias.fill_(-1e9)
    row = torch.randn(1, 1, 3, generator=torch.Generator().manual_seed(0))
    for step in (0.0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2):
        x = torch.cat([row, row + step], dim=1)
        found, _ = Kernel(model, clip=1.0, random=Stream()).clipped(x, torch.ones(1))
        assert float(found.double().norm()) <= 1.001


@pytest.mark.parametrize("kind", KINDS)
def test_a_company_whose_gradient_is_no_number_contributes_zero_and_leaves_the_others_alone(kind: str) -> None:
    model = made(kind, time=4, features=3, hidden=5, seed=0)
    x, y = batch(kind, n=6, time=4, features=3, seed=0)
    kernel = Kernel(model, clip=0.1, random=Stream())
    expected = kernel.clipped(x[1:], y[1:])[0].clone()
    if x.is_floating_point():
        for value in (float("nan"), float("inf"), 1e30):
            spoilt = x.clone()
            spoilt[0, -1] = value
            found = kernel.clipped(spoilt, y)[0]
            if value < float("inf") and torch.isfinite(found).all():
                continue  # what a bounded layer makes of a huge value is a number, and clipped like any other
            torch.testing.assert_close(found, expected)
    found = kernel.clipped(x, torch.cat([torch.tensor([float("nan")]), y[1:]]))[0]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_batch_sums_to_zero_whatever_came_before(kind: str) -> None:
    model = made(kind, time=4, features=3, hidden=5, seed=0)
    x, y = batch(kind, n=3, time=4, features=3, seed=0)
    kernel = Kernel(model, clip=1.0, random=Stream())
    assert kernel.clipped(x, y)[0].abs().max() > 0
    total, loss = kernel.clipped(x[:0], y[:0])
    assert not total.any()
    assert loss == 0


@settings(max_examples=10, derandomize=True, phases=PHASES)
@given(rows=st.sampled_from([1, 24]), seed=st.integers(0, 2**31), kind=st.sampled_from(["mlp", "lstm"]))
def test_a_company_with_24_rows_has_the_same_influence_bound_as_one_with_one(rows: int, seed: int, kind: str) -> None:
    model = made(kind, time=2, features=3, hidden=4, seed=seed)
    x, y = batch(kind, n=9 + rows, time=2, features=3, seed=seed)
    company = np.array([f"other {number}" for number in range(9)] + ["this"] * rows)
    terms = {"clip": 0.01, "sample_rate": 1.0, "random": Stream()}
    whole, expected = clipped_sum(model, 100 * x, y, company=company, **terms)  # type: ignore[arg-type]
    without, _ = clipped_sum(model, 100 * x[:9], y[:9], company=company[:9], **terms)  # type: ignore[arg-type]
    assert expected == 10
    # Exact but for the rounding of ten summands in float32; a dead unit may make it 0.
    assert float((whole.double() - without.double()).norm()) <= 0.01 + 1e-6


@pytest.mark.parametrize("time", [2, 24, 50])
def test_a_norm_of_which_cancelling_leaves_little_is_never_taken_for_a_shorter_one(time: int) -> None:
    generator = torch.Generator().manual_seed(time)
    z = torch.randn(5, 1, 30, generator=generator) + 1e-3 * torch.randn(5, time, 30, generator=generator)
    d = torch.randn(5, time, 40, generator=generator)
    d -= d.mean(dim=1, keepdim=True)
    expected = (d.double().transpose(1, 2) @ z.double()).square().sum((1, 2))
    largest = (d.double().norm(dim=2) * z.double().norm(dim=2)).sum(1).square()
    found = outer_squared(z, d).double()
    assert (expected < 1e-5 * largest).all()
    assert (found > expected).all()
    assert (found < expected + 2e-8 * largest).all()


@pytest.mark.parametrize("time", [1, 3, 4, 40])
@pytest.mark.parametrize("ones", [0.0, 1.0])
def test_norms_are_the_same_by_inner_products_and_by_gradients_of_long_windows(time: int, ones: float) -> None:
    generator = torch.Generator().manual_seed(time)
    z, d = torch.randn(5, time, 3, generator=generator), torch.randn(5, time, 4, generator=generator)
    with_ones = torch.cat([z, torch.ones(5, time, int(ones))], dim=2).double()
    expected = (d.double().transpose(1, 2) @ with_ones).square().sum((1, 2))
    torch.testing.assert_close(outer_squared(z, d, ones=ones).double(), expected, rtol=1e-5, atol=0)


def test_the_row_of_padding_in_an_embedding_has_no_gradient() -> None:
    # As in torch itself; Opacus's hooks give that row one.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(CODES, 3, padding_idx=0), nn.Tanh(), nn.Flatten(), nn.Linear(12, 1))
    x, y = batch("codes", n=9, time=4, features=1, seed=0)
    nn.functional.binary_cross_entropy_with_logits(model(x).squeeze(-1), y, reduction="sum").backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    found, _ = Kernel(model, clip=1e6, random=Stream()).clipped(x, y)
    assert not found[:3].any()
    assert error(found, expected.double()) < 1e-5


def test_noise_has_the_asked_spread_and_lies_on_a_grid_that_the_sum_has_no_part_in() -> None:
    random = Stream()
    for spread in (0.013, 1.0, 700.0):
        total = torch.full((62_500,), 0.1 * spread)
        add_noise(total, spread=spread, random=random)
        # Six standard errors: of the mean spread / 250, of the deviation spread / 354.
        assert abs(total.mean().item() - 0.1 * spread) < 0.025 * spread
        assert abs(total.std().item() - spread) < 0.018 * spread
        grid = 2.0 ** (np.floor(np.log2(spread)) - 20)
        multiples = total.double() / grid
        assert torch.equal(multiples, multiples.round())


def test_the_model_and_its_gradients_are_left_alone() -> None:
    model = made("stacked lstm", time=4, features=3, hidden=5, seed=0)
    before = copy.deepcopy(model.state_dict())
    x, y = batch("lstm", n=6, time=4, features=3, seed=0)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    clipped_sum(model, x, y, company=np.array(list("abcabc")), clip=1.0, sample_rate=0.5, random=Stream())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert all(parameter.grad is None for parameter in model.parameters())


class Doubled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def tied() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1))
    model[2].weight = model[1].weight
    return model


def frozen() -> nn.Module:
    model = made("mlp", time=1, features=3, hidden=4, seed=0)
    next(model.parameters()).requires_grad_(False)
    return model


def hooked() -> nn.Module:
    model = made("mlp", time=1, features=3, hidden=4, seed=0)
    model.head.register_forward_hook(lambda module, inputs, out: 2 * out)
    return model


def both_ways() -> nn.Module:
    model = LSTM(features=3, hidden=4)
    model.body = nn.LSTM(3, 2, batch_first=True, bidirectional=True)
    return model


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        (lambda: nn.Sequential(nn.Flatten(), Doubled(3, 1)), "Doubled"),
        (lambda: nn.Sequential(nn.Conv1d(3, 1, 1), nn.Flatten()), "Conv1d"),
        (lambda: nn.Sequential(nn.Flatten(), nn.BatchNorm1d(3), nn.Linear(3, 1)), "BatchNorm1d"),
        (tied, "Sequential"),
        (frozen, "MLP"),
        (hooked, "Linear"),
        (both_ways, "LSTM"),
    ],
)
def test_a_layer_that_it_does_not_know_exactly_is_refused_by_name(model, layer: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UnknownLayer) as fault:
        chain_of(model(), random=Stream())
    assert fault.value.where == f"layer {layer}"


def test_factors_are_not_known_to_the_kernel() -> None:
    shape = ModelSettings("nine_factor", hidden=4, factors=(Factor("cash", up=("cash",)),))
    with pytest.raises(UnknownLayer):
        chain_of(build(shape, features=["cash"], time=3, seed=0), random=Stream())


def test_impossible_terms_and_no_rows_are_refused() -> None:
    model = made("mlp", time=1, features=3, hidden=4, seed=0)
    for clip in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ConfigError):
            Kernel(model, clip=clip, random=Stream())
    with pytest.raises(ConfigError):
        Kernel(model, clip=1.0, clipping="ghost", random=Stream())  # type: ignore[arg-type]
    nothing = torch.zeros(0, 1, 3), torch.zeros(0)
    with pytest.raises(TableError):
        clipped_sum(model, *nothing, company=np.array([]), clip=1.0, sample_rate=1.0, random=Stream())
