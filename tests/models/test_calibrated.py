"""Steps of calibration: right by hand, rising, and refused where a card lies."""

import json
from typing import Any

import numpy as np
import pytest

from fedcredit.errors import ModelError
from fedcredit.models.calibrated import (
    Beta,
    Isotonic,
    PriorShift,
    Step,
    Temperature,
    calibrate,
    told,
)
from fedcredit.models.steps import as_card, from_card

STEPS: list[Step] = [
    Temperature(2.0, -1.0),
    Beta(0.5, 2.0, 0.3),
    Beta(0.0, 1.0, 0.0),
    Isotonic((-3.0, -1.0, 2.0), (-4.0, -3.9, 2.0)),
    PriorShift(0.13, 0.03),
]


@pytest.mark.parametrize("step", STEPS, ids=told)
def test_every_step_rises_and_stays_a_probability(step: Step) -> None:
    p = 1 / (1 + np.exp(-np.linspace(-20, 20, 400)))
    out = step.apply(p)
    assert (np.diff(out) >= 0).all()
    middle = np.diff(step.apply(1 / (1 + np.exp(-np.linspace(-8, 8, 400)))))
    assert (middle > 0).all()
    assert ((step.apply([0.0, 1.0]) >= 0) & (step.apply([0.0, 1.0]) <= 1)).all()


def test_steps_by_hand() -> None:
    assert Temperature(2.0, 0.0).apply([0.9]) == pytest.approx([0.75])  # odds 9 to their root
    assert Beta(2.0, 1.0, 0.0).apply([0.5]) == pytest.approx([1 / 3])  # odds p^2 / (1 - p)
    assert Isotonic((-1.0, 1.0), (0.0, 1.0)).apply([0.5]) == pytest.approx([1 / (1 + np.exp(-0.5))])
    beyond = Isotonic((-1.0, 1.0), (0.0, 1.0)).apply([1 / (1 + np.exp(3.0))])
    assert beyond == pytest.approx([1 / (1 + np.exp(2.0))])


@pytest.mark.parametrize("step", STEPS, ids=told)
def test_step_comes_back_equal_from_json(step: Step) -> None:
    assert from_card(json.loads(json.dumps(as_card([step])))) == (step,)


def test_no_step_changes_nothing() -> None:
    assert calibrate([0.2, 0.7], ()).tolist() == [0.2, 0.7]


@pytest.mark.parametrize(
    "listed",
    [
        None,
        {},
        [1],
        [{"kind": "spline"}],
        [{"kind": ["beta"]}],
        [{"kind": "beta", "a": 1.0, "b": 1.0}],
        [{"kind": "beta", "a": 1.0, "b": 1.0, "c": 0.0, "d": 0.0}],
        [{"kind": "beta", "a": -1.0, "b": 1.0, "c": 0.0}],
        [{"kind": "beta", "a": 0.0, "b": 0.0, "c": 0.0}],
        [{"kind": "temperature", "temperature": 0.0, "shift": 0.0}],
        [{"kind": "temperature", "temperature": float("nan"), "shift": 0.0}],
        [{"kind": "temperature", "temperature": True, "shift": 0.0}],
        [{"kind": "temperature", "temperature": 1.0, "shift": 1e300}],
        [{"kind": "prior_shift", "from_rate": 0.0, "to_rate": 0.5}],
        [{"kind": "isotonic", "x": [0.0, 0.0], "y": [0.0, 1.0]}],
        [{"kind": "isotonic", "x": [0.0, 1.0], "y": [1.0, 1.0]}],
        [{"kind": "isotonic", "x": [0.0], "y": [1.0]}],
        [{"kind": "isotonic", "x": [0.0, 1.0], "y": [0.0, 1.0, 2.0]}],
        [{"kind": "isotonic", "x": "01", "y": [0.0, 1.0]}],
        [{"kind": "isotonic", "x": list(range(5000)), "y": list(range(5000))}],
        [{"kind": "prior_shift", "from_rate": 0.1, "to_rate": 0.5}] * 17,
    ],
)
def test_steps_that_are_no_calibration_are_refused(listed: Any) -> None:
    with pytest.raises(ModelError, match="calibration"):
        from_card(listed)
