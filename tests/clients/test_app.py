"""The institution's ClientApp: what leaves is numbers and codes, and no round trains before it is charged."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from clients import training
from clients.app import app
from fedcredit.data.governance.gate import six_digits
from fedcredit.errors import ConfigError, FederationError
from fedcredit.federation.engine import to_record
from fedcredit.federation.grid import InProcessGrid
from fedcredit.federation.messages import PrivacyTerms, Task
from fedcredit.models.train import LocalSettings
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.mechanism import Mechanism, run_epsilon
from server.app import conduct, initial_arrays
from tests.conftest import Nodes
from tests.federation.conftest import make_order, make_task
from tests.federation.misbehaving import grid_of, raises

MakeNodes = Callable[..., Nodes]
TERMS = PrivacyTerms(epsilon=4.0, delta=1e-5, clip=1.0, sample_rate=0.5, steps=1, rounds=10)
PRIVATE = make_task(privacy=TERMS, metrics="none", local=LocalSettings("sgd", lr=0.1))


def ask(nodes: Nodes, kind: str, config: ConfigRecord | None, *, arrays: ArrayRecord | None = None) -> Message:
    """bank-0's reply to one message."""
    records = {"config": config, "arrays": arrays}
    content = RecordDict({name: record for name, record in records.items() if record is not None})
    (reply,) = InProcessGrid(app, nodes.configs).send_and_receive([Message(content, 1, kind)])
    return reply


def train(nodes: Nodes, task: Task, *, number: int = 1) -> Message:
    return ask(nodes, "train", task.as_config(**{"server-round": number}), arrays=to_record(initial_arrays(task)))


def charged_rounds(nodes: Nodes) -> list[Mechanism]:
    """What the first institution's ledger was charged, a mechanism a round."""
    entries = Ledger(Path(nodes.configs[0]["ledger"])).entries()
    return [entry.spends for entry in entries if entry.event == "charge"]


def as_config(text: str) -> ConfigRecord:
    return ConfigRecord({"task": text, "task-sha256": hashlib.sha256(text.encode()).hexdigest()})


def code_of(reply: Message) -> str:
    assert reply.has_error()
    assert reply.error.code == 2
    return str(reply.error.reason)


ALTERED: dict[str, dict[str, Any]] = {
    "an unknown key": {"command": "curl"},
    "a wrong type": {"seed": "7"},
    "epsilon zero": {"privacy": {**TERMS.__dict__, "epsilon": 0}},
    "a budget below zero": {"privacy": {**TERMS.__dict__, "epsilon": -3}},
    "a run above the folder": {"run": "../x"},
    "a run that is an absolute path": {"run": "/etc/x"},
    "a run that is the folder's parent": {"run": ".."},
    "a hidden run": {"run": ".ssh"},
    "a run with a zero byte": {"run": "a\u0000b"},
    "an empty run": {"run": ""},
    "a huge window": {"time": 10**9},
}


@pytest.mark.parametrize("altered", list(ALTERED.values()), ids=list(ALTERED))
@pytest.mark.parametrize("kind", ["train", "train.personalise", "query.spent"])
def test_a_hostile_task_is_answered_by_a_code(
    kind: str, altered: dict[str, Any], nodes: MakeNodes, tmp_path: Path
) -> None:
    banks = nodes(1)
    text = json.dumps({**json.loads(PRIVATE.to_json()), **altered})
    reply = ask(banks, kind, as_config(text), arrays=to_record(initial_arrays(PRIVATE)))
    assert code_of(reply) == "config"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bank-0.npz"], "nothing may have been written"


@pytest.mark.parametrize("text", ["", "{", "[" * 50_000, "null", "x" * 70_000, '{"seed": NaN}'])
def test_a_text_that_is_no_task_is_answered_by_a_code(text: str, nodes: MakeNodes) -> None:
    assert code_of(ask(nodes(1), "train", as_config(text))) == "config"


def test_a_digest_that_does_not_fit_is_answered_by_a_code(nodes: MakeNodes) -> None:
    config = make_task().as_config()
    config["task-sha256"] = "0" * 64
    assert code_of(ask(nodes(1), "train", config)) == "config"


def test_a_lone_surrogate_in_the_task_is_answered_by_a_code(nodes: MakeNodes) -> None:
    config = ConfigRecord({"task": "\ud800", "task-sha256": ""})
    assert code_of(ask(nodes(1), "train", config)) in ("config", "internal")


@pytest.mark.parametrize("kind", ["train", "train.personalise", "evaluate", "query.spent"])
def test_messages_without_records_are_answered_by_a_code(kind: str, nodes: MakeNodes) -> None:
    banks = nodes(1)
    assert code_of(ask(banks, kind, None)) in ("internal", "table", "config")
    if kind != "query.spent":
        assert code_of(ask(banks, kind, make_task(personal=LocalSettings()).as_config())) in ("internal", "table")


def test_the_detail_of_a_refusal_stays_in_the_institutions_own_log(
    nodes: MakeNodes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="clients.app"):
        reply = train(nodes(1), make_task(run="../x"))
    assert code_of(reply) == "config"
    assert "letters, digits" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_task_of_other_features_is_refused(nodes: MakeNodes) -> None:
    assert code_of(train(nodes(1), make_task(features=("debt", "cash", "gender")))) == "table"


def test_a_global_model_of_another_shape_is_refused(nodes: MakeNodes) -> None:
    other = to_record({"head.weight": np.zeros((1, 8), np.float32), "head.bias": np.zeros(1, np.float32)})
    assert code_of(ask(nodes(1), "train", make_task().as_config(), arrays=other)) == "table"


@pytest.mark.parametrize("key", ["institution", "windows", "state", "label-definition"])
def test_an_operators_configuration_that_lacks_a_key_is_a_code(key: str, nodes: MakeNodes) -> None:
    banks = nodes(1)
    del banks.configs[0][key]
    assert code_of(ask(banks, "query.describe", make_task().as_config())) == "config"


def test_a_first_round_releases_no_validation_and_none_is_released_where_none_is_asked(nodes: MakeNodes) -> None:
    banks = nodes(1)
    assert "validation-good" not in train(banks, make_task(), number=1).content["metrics"]
    assert "validation-good" in train(banks, make_task(), number=2).content["metrics"]
    assert "validation-good" not in train(banks, make_task(run="silent", metrics="none"), number=2).content["metrics"]


def test_under_privacy_no_loss_leaves_and_the_count_is_of_companies(nodes: MakeNodes) -> None:
    metrics = train(nodes(1), PRIVATE).content["metrics"]
    assert dict(metrics) == {"num-examples": 60}


def test_the_spend_continues_across_rounds_and_attempts(nodes: MakeNodes) -> None:
    banks = nodes(2)
    done = conduct(InProcessGrid(app, banks.configs), make_order(PRIVATE, rounds=10, quorum=2))
    history = charged_rounds(banks)
    assert len(history) == 10
    spent = six_digits(run_epsilon(history, delta=1e-5), upwards=True)
    assert done.epsilon == dict.fromkeys(("bank-0", "bank-1"), spent)
    assert done.epsilon["bank-0"] < 4.0  # one round is held in reserve
    # An accountant that starts afresh in each round, as in Flower's example, would report this much.
    assert run_epsilon(history[-1:], delta=1e-5) < 0.5 * done.epsilon["bank-0"]
    train(banks, PRIVATE, number=10)
    again = ask(banks, "query.spent", PRIVATE.as_config()).content["metrics"]["epsilon"]
    assert done.epsilon["bank-0"] < again <= 4.0
    refused = train(banks, PRIVATE, number=10)
    assert (refused.error.reason, len(charged_rounds(banks))) == ("budget", 11)


def test_a_run_that_began_privately_cannot_go_on_without_privacy(nodes: MakeNodes) -> None:
    banks = nodes(1)
    assert train(banks, PRIVATE).has_content()
    plain = train(banks, make_task(), number=2)
    assert plain.error.reason == "refused"


def test_exact_metrics_under_privacy_need_the_operators_word(nodes: MakeNodes) -> None:
    task = make_task(privacy=TERMS, metrics="exact", local=LocalSettings("sgd", lr=0.1))
    assert train(nodes(1), task).error.reason == "refused"
    assert train(nodes(1, **{"exact-metrics": True}), make_task(**{**vars(task), "run": "allowed"})).has_content()


@pytest.mark.parametrize(
    ("field", "value"), [("clip", 7e-46), ("sample_rate", 1e-12), ("epsilon", 100.0), ("steps", 10**6)]
)
def test_terms_that_would_undo_the_noise_or_exhaust_the_node_are_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"privacy.{field}"):
        replace(TERMS, **{field: value})


def test_two_private_runs_of_one_seed_are_not_equal(nodes: MakeNodes) -> None:
    banks = nodes(1)
    first, second = (train(banks, PRIVATE).content["arrays"]["head.weight"].numpy() for _ in range(2))
    assert not np.array_equal(first, second)


def test_the_charge_is_on_disk_before_the_first_row_is_touched(
    nodes: MakeNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    banks = nodes(1)

    def die(*arguments: Any, **settings: Any) -> float:
        raise RuntimeError("power cut")

    monkeypatch.setattr(training, "fit_private", die)
    assert code_of(train(banks, PRIVATE)) == "internal"
    assert len(charged_rounds(banks)) == 1


def test_a_charge_that_cannot_be_written_trains_nothing(nodes: MakeNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    banks = nodes(1)
    Path(banks.configs[0]["ledger"]).mkdir()  # a folder takes no line
    touched: list[int] = []
    monkeypatch.setattr(training, "fit_private", lambda *arguments, **settings: touched.append(1))
    assert code_of(train(banks, PRIVATE)) == "checkpoint"
    assert touched == []


def test_a_delta_too_large_for_this_institution_is_refused_and_not_charged(nodes: MakeNodes) -> None:
    banks = nodes(1)
    task = replace(PRIVATE, privacy=replace(TERMS, delta=2e-5))
    assert code_of(train(banks, task)) == "refused"
    assert charged_rounds(banks) == []
    with pytest.raises(FederationError, match=r"round 1: found 0 good replies \(error-refused\)"):
        conduct(InProcessGrid(app, banks.configs), make_order(task, quorum=1))


def test_a_spend_that_is_no_number_stops_the_run(nodes: MakeNodes) -> None:
    def lie(message: Message, reply: Message) -> Message:
        reply.content["metrics"]["epsilon"] = float("nan")
        return reply

    with pytest.raises(FederationError, match=r"query\.spent at bank-1"):
        conduct(grid_of(nodes(2), {"bank-1": lie}, kind="query.spent"), make_order(PRIVATE, rounds=1, quorum=2))


def test_an_institution_that_does_not_say_what_it_spent_is_named_and_not_left_out(nodes: MakeNodes) -> None:
    grid = grid_of(nodes(2), {"bank-1": raises}, kind="query.spent")
    with pytest.raises(FederationError, match=r"query\.spent at bank-1: found no answer \(error-2\)"):
        conduct(grid, make_order(PRIVATE, rounds=1, quorum=2))
