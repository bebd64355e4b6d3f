"""A strategy's momenta leave for a checkpoint and come back; its settings and the round's own arrays do not."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM

from fedcredit.errors import ConfigError
from fedcredit.federation.strategies import restore, strategy_arrays
from server.app import strategy_of


def test_a_strategy_without_state_has_none() -> None:
    assert strategy_arrays(FedAvg()) == {}


def test_momenta_by_name_come_back() -> None:
    before, after = FedAdam(), FedAdam()
    before.m_t, before.v_t = {"body.0.weight": np.ones(2)}, {"body.0.weight": np.full(2, 3.0)}
    found = strategy_arrays(before)
    assert set(found) == {"m_t/body.0.weight", "v_t/body.0.weight"}
    restore(after, found)
    np.testing.assert_array_equal(after.v_t["body.0.weight"], [3.0, 3.0])


def test_momenta_in_a_list_come_back_in_their_order_beyond_nine() -> None:
    before, after = FedAvgM(), FedAvgM()
    before.momentum_vector = [np.full(1, i) for i in range(12)]
    # A checkpoint hands names back sorted as text: 0, 1, 10, 11, 2 ...
    restore(after, dict(sorted(strategy_arrays(before).items())))
    assert [int(array[0]) for array in after.momentum_vector or []] == list(range(12))


@pytest.mark.parametrize(
    ("constructor", "found"),
    [
        ({"_target_": "flwr.serverapp.strategy.FedAvgg"}, "FedAvgg"),
        ({"_target_": "flwr.serverapp.strategy.FedProx", "proximal_muu": 0.1}, "proximal_muu"),
    ],
)
def test_a_strategy_that_flower_does_not_know_is_an_error_of_ours(constructor: dict[str, object], found: str) -> None:
    with pytest.raises(ConfigError, match=found) as caught:
        strategy_of(constructor)
    assert caught.value.where == "recipe.strategy"
    assert "\n" not in caught.value.found


def test_a_constructor_inside_an_argument_is_not_called() -> None:
    inner = {"_target_": "builtins.exit"}
    strategy = strategy_of({"_target_": "flwr.serverapp.strategy.FedAvg", "weighted_by_key": inner})
    assert dict(strategy.weighted_by_key) == inner
