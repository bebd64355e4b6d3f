"""The kernel's benchmark times three ways of the same step and checks that they agree."""

from __future__ import annotations

import torch

from experiments.benchmarks.kernel import SHAPES, Shape, measure, seconds


def test_it_reports_ratios_for_every_shape_and_the_error_of_the_gradient() -> None:
    threads = torch.get_num_threads()
    shapes = {"mlp": Shape("mlp", 8, hidden=4), "lstm": Shape("lstm", 8, hidden=4, time=2)}
    found = measure(repeats=1, shapes=shapes)
    for key in ("kernel_over_plain", "opacus_over_plain", "opacus_over_kernel"):
        assert set(found[key]) == {"mlp", "lstm"}
        assert min(found[key].values()) > 0
    assert found["max_relative_gradient_error"] < 1e-5
    assert torch.get_num_threads() == threads


def test_the_steps_take_turns() -> None:
    order: list[str] = []
    steps = {name: lambda name=name: order.append(name) for name in "ab"}
    seconds(steps, calls=2, repeats=2)
    assert "".join(order) == "ab" + "aabb" * 2


def test_the_shapes_are_those_of_the_target() -> None:
    assert list(SHAPES) == ["mlp_64", "mlp_256", "mlp_1024", "lstm_t8", "lstm_t24"]
    sizes = [tuple(parameter.shape) for parameter in SHAPES["lstm_t8"].make()[0].parameters()]
    assert sizes[:2] == [(256, 28), (256, 64)]
