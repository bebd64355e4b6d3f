"""Orders: what an operator sends is names and numbers, and the one name of code in it is a strategy of Flower's."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from fedcredit.errors import ConfigError
from fedcredit.federation.counting import CountTerms, Question
from fedcredit.federation.engine import RoundPlan
from server.orders import MAX_ORDER_BYTES, DeployedOrder
from tests.federation.conftest import FEDAVG, make_task

ORDER = DeployedOrder("quickstart", "20261124T000000Z", "unit-1", make_task(), RoundPlan(), FEDAVG)


def sent(text: str) -> dict[str, str]:
    return {"order": text, "order-sha256": hashlib.sha256(text.encode()).hexdigest()}


def changed(**change: Any) -> dict[str, str]:
    return sent(json.dumps({**json.loads(ORDER.as_config()["order"]), **change}))


def test_order_arrives_as_it_was_sent() -> None:
    assert DeployedOrder.from_config(ORDER.as_config()) == ORDER


def test_order_asks_no_more_questions_than_its_task_states_evaluations() -> None:
    task = make_task(counts=CountTerms(evaluations=1))
    order = replace(ORDER, task=task, questions=(Question(column="sector", segments=("trade",)),))
    assert DeployedOrder.from_config(order.as_config()) == order
    with pytest.raises(ConfigError, match="at most the 1 evaluations"):
        replace(order, questions=(Question(), Question()))
    with pytest.raises(ConfigError, match="at most the 0 evaluations"):
        replace(ORDER, questions=(Question(),))


def test_order_that_was_changed_on_its_way_is_refused() -> None:
    config = ORDER.as_config()
    with pytest.raises(ConfigError, match="digest"):
        DeployedOrder.from_config({**config, "order": config["order"].replace("unit-1", "unit-2")})


@pytest.mark.parametrize(
    "strategy",
    [
        {"_target_": "os.system", "command": "true"},
        {"_target_": "flwr.serverapp.strategy.strategy.os.system"},
        {"_target_": "flwr.serverapp.strategy.FedAvg", "evaluate_metrics_aggr_fn": {"_target_": "os.system"}},
        {"_target_": "flwr.serverapp.strategy.FedAvg", "weighted_by_key": ["a"]},
        {"_target_": "flwr.serverapp.strategy.FedAvg", "weighted_by_key": "${oc.env:HOME}"},
        {"_target_": "flwr.serverapp.strategy.FedAvg", "_partial_": True},
        {},
    ],
)
def test_strategy_that_names_other_code_is_refused(strategy: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"strategy|a name or a number"):
        DeployedOrder.from_config(changed(strategy=strategy))


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".ssh", "a" * 101, "a\n"])
def test_name_that_is_no_folder_of_its_own_is_refused(name: str) -> None:
    for field in ("study", "run", "unit"):
        with pytest.raises(ConfigError, match=field):
            replace(ORDER, **{field: name})


@pytest.mark.parametrize("text", ["", "[]", "{", '{"study": 1}', "x" * (MAX_ORDER_BYTES + 1), "[" * 100_000])
def test_text_that_is_no_order_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        DeployedOrder.from_config(sent(text))


def test_order_with_an_unknown_or_a_missing_field_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        DeployedOrder.from_config(changed(command="curl"))
    short = json.loads(ORDER.as_config()["order"])
    del short["plan"]
    with pytest.raises(ConfigError, match="no plan"):
        DeployedOrder.from_config(sent(json.dumps(short)))
