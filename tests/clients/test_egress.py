"""Everything that a node sends goes through the gate: a thousand clean rounds pass, and no planted identifier does."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flwr.app import Array, ConfigRecord, Message, MetricRecord, RecordDict

import clients.door  # its errors, and those of what it imports
import clients.warm  # noqa: F401 - as above
from clients import app as client
from clients import egress
from clients.app import app
from clients.institution import institution_of
from clients.opening import outside_plain
from clients.policy import REASONS
from fedcredit.data.governance.contract import contracts, errors
from fedcredit.data.windows import save
from fedcredit.errors import EgressRefused, FedCreditError, TableError
from fedcredit.federation.arrays import encode
from fedcredit.federation.champion import CHAMPION
from fedcredit.federation.engine import to_record
from fedcredit.federation.grid import InProcessGrid
from fedcredit.federation.messages import (
    AGREE,
    CONFIRM,
    COUNTS,
    COUNTS_MASKED,
    DESCRIBE,
    EVALUATE,
    KEYS,
    MASKED,
    MAX_EXAMPLES,
    PERSONALISE,
    SCORE_BINS,
    SHARES,
    SPENT,
    SURVIVORS,
    TRAIN,
    UNMASK,
    PrivacyTerms,
    Task,
)
from fedcredit.models.build import ModelSettings
from fedcredit.models.train import LocalSettings
from server.app import conduct, initial_arrays
from tests.conftest import Nodes
from tests.data.planted import REGISTRY, planted
from tests.federation.conftest import make_order, make_task

MakeNodes = Callable[..., Nodes]
TERMS = PrivacyTerms(epsilon=4.0, delta=1e-5, clip=1.0, sample_rate=0.5, steps=1, rounds=10)
PRIVATE = make_task(run="private", privacy=TERMS, metrics="none", local=LocalSettings("sgd", lr=0.1))


def ask(nodes: Nodes, kind: str, task: Task, *, number: int = 2, grid: InProcessGrid | None = None) -> Message:
    """bank-0's reply to one message."""
    arrays = {} if kind in (DESCRIBE, SPENT) else {"arrays": to_record(initial_arrays(task))}
    content = RecordDict({"config": task.as_config(**{"server-round": number}), **arrays})
    (reply,) = (grid or InProcessGrid(app, nodes.configs)).send_and_receive([Message(content, 1, kind)])
    return reply


def code_of(reply: Message) -> str:
    return str(reply.error.reason) if reply.has_error() else "none"


# What an institution runs by hand to become a member; no message gets there.
BEFORE_THE_FIRST_MESSAGE = (
    "fedcredit.link",
    "fedcredit.trust.joining",
    "fedcredit.trust.fingerprint",
)


def kinds_of(kind: type[FedCreditError]) -> set[type[FedCreditError]]:
    """Every error of ours that a node can raise while it answers a message."""
    ours = {one for one in kind.__subclasses__() if one.__module__.partition(".")[0] in ("fedcredit", "clients")}
    found = {one for one in ours if not one.__module__.startswith(BEFORE_THE_FIRST_MESSAGE)}
    return found.union(*(kinds_of(one) for one in found))


def test_every_message_type_and_error_code_of_the_federation_has_its_contract() -> None:
    masking = {KEYS, AGREE, CONFIRM, SHARES, MASKED, SURVIVORS, UNMASK}
    assert (
        set(contracts()) == {DESCRIBE, TRAIN, PERSONALISE, EVALUATE, SPENT, COUNTS, COUNTS_MASKED, CHAMPION} | masking
    )
    assert set(errors().words) == {kind.code for kind in kinds_of(FedCreditError)} | {"internal", *REASONS}
    rules = [rule for contract in contracts().values() for rule in contract.metrics.values() if rule.length]
    assert {rule.length for rule in rules} == {SCORE_BINS}
    assert MAX_EXAMPLES < 10**10


SHAPES: dict[str, dict[str, Any]] = {
    "logistic": {},
    "mlp": {"model": ModelSettings("mlp", hidden=4)},
    "lstm": {"model": ModelSettings("lstm", hidden=4)},
    "a head that stays": {"model": ModelSettings("lstm", hidden=4), "share": "body"},
    "fine-tuned": {"model": ModelSettings("lstm", hidden=4), "personal": LocalSettings("sgd", lr=0.1)},
    "private": {"privacy": TERMS, "metrics": "none", "local": LocalSettings("sgd", lr=0.1)},
    "private lstm": {
        "model": ModelSettings("lstm", hidden=4),
        "privacy": TERMS,
        "metrics": "none",
        "local": LocalSettings("sgd", lr=0.1),
    },
}


def blocked(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]


@pytest.mark.parametrize("name", SHAPES)
def test_no_clean_federation_is_blocked(name: str, nodes: MakeNodes, caplog: pytest.LogCaptureFixture) -> None:
    done = conduct(InProcessGrid(app, nodes(3).configs), make_order(make_task(**SHAPES[name]), rounds=10))
    assert [record.quarantined for record in done.state.history] == [{}] * 10
    assert blocked(caplog) == []


@pytest.mark.slow
def test_of_a_thousand_clean_rounds_none_is_blocked(nodes: MakeNodes, caplog: pytest.LogCaptureFixture) -> None:
    done = conduct(InProcessGrid(app, nodes(3).configs), make_order(rounds=1_000))
    assert len(done.state.history) == 1_000
    assert [record.round for record in done.state.history if record.quarantined or record.missing] == []
    assert blocked(caplog) == []


# What a handler that is wrong, or not ours any more, could put into a real reply.


def number_of(one: str) -> int:
    """The digits of a code of 11 to 18; of anything else those of a mobile number."""
    digits = "".join(filter(str.isdecimal, one))[:18]
    return int(digits if len(digits) >= 11 else "13800138001")


def array_name(content: RecordDict, one: str) -> None:
    content["arrays"][one] = encode(np.zeros(1, np.float32))


def array_header(content: RecordDict, one: str) -> None:
    name = next(iter(content["arrays"]))
    array = content["arrays"][name]
    content["arrays"][name] = Array(array.dtype, array.shape, array.stype, array.data + one.encode())


def array_type(content: RecordDict, one: str) -> None:
    name = next(iter(content["arrays"]))
    array = content["arrays"][name]
    content["arrays"][name] = Array(one, array.shape, array.stype, array.data)


def array_shape(content: RecordDict, one: str) -> None:
    name = next(iter(content["arrays"]))
    array = content["arrays"][name]
    content["arrays"][name] = Array(array.dtype, tuple(map(ord, one)), array.stype, array.data)


def metric_name(content: RecordDict, one: str) -> None:
    content["metrics"][one] = 1


def metric_integer(content: RecordDict, one: str) -> None:
    content["metrics"]["num-examples"] = number_of(one)


def metric_float(content: RecordDict, one: str) -> None:
    content["metrics"]["loss"] = number_of(one) / 1e12


def metric_list(content: RecordDict, one: str) -> None:
    content["metrics"]["validation-good"] = [ord(sign) for sign in one]


def config_text(content: RecordDict, one: str) -> None:
    content["config"] = ConfigRecord({"note": one})


def config_bytes(content: RecordDict, one: str) -> None:
    content["config"] = ConfigRecord({"note": one.encode()})


def record_name(content: RecordDict, one: str) -> None:
    content[one] = MetricRecord({"num-examples": 1})


def split(content: RecordDict, one: str) -> None:
    half = len(one) // 2
    content["metrics"][f"a{one[:half]}"] = 1
    content["metrics"][f"b{one[half:]}"] = 1


PLACES = [
    array_name,
    array_header,
    array_type,
    array_shape,
    metric_name,
    metric_integer,
    metric_float,
    metric_list,
    config_text,
    config_bytes,
    record_name,
    split,
]


def test_no_identifier_planted_in_a_real_reply_gets_out(nodes: MakeNodes) -> None:
    banks = nodes(1)
    task = make_task()
    reply = ask(banks, TRAIN, task)
    here, arrays = institution_of(_context(banks)), outside_plain(task)
    egress.pass_reply(reply, to=reply, here=here, task=task, arrays=arrays)
    out = []
    for number, (what, _, dressed) in enumerate(planted(3_000, seed=21)):
        altered = _copied(reply.content)
        PLACES[number % len(PLACES)](altered, dressed)
        planted_reply = Message(altered, 1, TRAIN)
        try:
            egress.pass_reply(planted_reply, to=reply, here=here, task=task, arrays=arrays)
            out.append(f"{what} in {PLACES[number % len(PLACES)].__name__}")
        except EgressRefused:
            continue
    assert out == []


def test_a_handler_that_leaks_is_answered_by_a_code_and_the_log_does_not_repeat_it(
    nodes: MakeNodes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    banks = nodes(1)
    monkeypatch.setattr(client, "_counts", lambda model, rows: {"9144030071526726XG": 1})
    assert code_of(ask(banks, TRAIN, make_task())) == "egress"
    assert "an unknown key" in caplog.text
    assert "9144030071526726XG" not in caplog.text


@pytest.mark.parametrize("loss", [13800138000.0, 110105194912310021.0])
def test_a_loss_that_is_a_number_of_somebody_leaves_as_no_more_than_too_large(
    loss: float, nodes: MakeNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "train_plainly", lambda *arguments, **settings: loss)
    assert ask(nodes(1), TRAIN, make_task()).content["metrics"]["loss"] == client.MAX_LOSS


def test_a_loss_that_is_no_number_is_left_out_and_the_arrays_tell(
    nodes: MakeNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "train_plainly", lambda *arguments, **settings: float("nan"))
    assert "loss" not in ask(nodes(1), TRAIN, make_task()).content["metrics"]


def test_no_error_text_reaches_the_wire_or_the_log(
    nodes: MakeNodes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    banks = nodes(1, registry=_registry(nodes))
    grid = InProcessGrid(app, banks.configs)
    assert not ask(banks, DESCRIBE, make_task(), grid=grid).has_error()
    left, wires = [], set()
    for number, (what, plain, dressed) in enumerate(planted(408, seed=22)):
        fault: Exception = [
            ValueError(f"cell {dressed}"),
            TableError(f"row of {dressed}", found=dressed, expected="a number", hint=dressed),
            KeyError(dressed),
        ][number % 3]
        if number % 2:
            vars(fault)["code"] = dressed

        def fail(*arguments: Any, fault: Exception = fault, **settings: Any) -> None:
            raise fault

        monkeypatch.setattr(client, "receive", fail)
        caplog.clear()
        reply = ask(banks, TRAIN, make_task(), grid=grid)
        wires.add(code_of(reply))
        if plain in caplog.text or (dressed in caplog.text and "backwards" not in what):
            left.append(what)
    assert wires == {"internal", "table"}
    assert left == []


def test_an_operators_definition_that_names_a_customer_does_not_leave(nodes: MakeNodes) -> None:
    banks = nodes(1, **{"label-definition": "90 dpd, as with 13800138000"})
    assert code_of(ask(banks, DESCRIBE, make_task())) == "egress"


def test_a_name_of_the_local_registry_does_not_leave(nodes: MakeNodes) -> None:
    banks = nodes(1, registry=_registry(nodes), **{"label-definition": f"overdue, {REGISTRY[0]} aside"})
    assert code_of(ask(banks, DESCRIBE, make_task())) == "egress"


def test_a_node_whose_registry_cannot_be_read_answers_nothing(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = nodes(1, registry=str(tmp_path / "gone.parquet"))
    assert [code_of(ask(banks, kind, make_task())) for kind in (DESCRIBE, TRAIN, SPENT)] == ["table"] * 3


# The rule of the levels, at a node.


def confidential(nodes: MakeNodes, **facts: Any) -> Nodes:
    banks = nodes(1, **facts)
    save(replace(banks.windows[0], level=4), Path(banks.configs[0]["windows"]))
    return banks


def test_level_4_rows_are_not_trained_on_plainly(nodes: MakeNodes) -> None:
    banks = confidential(nodes)
    assert code_of(ask(banks, TRAIN, make_task())) == "refused"
    assert code_of(ask(banks, EVALUATE, make_task())) == "refused"
    assert not Path(banks.configs[0]["state"]).exists(), "a refused task must not take the run's name"


def test_level_4_rows_leave_as_a_charged_private_update(nodes: MakeNodes) -> None:
    banks = confidential(nodes)
    assert code_of(ask(banks, TRAIN, PRIVATE)) == "none"
    assert code_of(ask(banks, SPENT, PRIVATE)) == "none"


def test_level_4_rows_give_no_exact_metrics_beside_a_private_update(nodes: MakeNodes) -> None:
    banks = confidential(nodes, **{"exact-metrics": True})
    assert code_of(ask(banks, TRAIN, replace(PRIVATE, metrics="exact"))) == "refused"


@pytest.mark.parametrize("fact", ["open-rows", "one-machine"])
def test_the_operator_may_say_that_the_rows_are_open(fact: str, nodes: MakeNodes) -> None:
    assert code_of(ask(confidential(nodes, **{fact: True}), TRAIN, make_task())) == "none"


def test_an_update_that_was_not_charged_stays(nodes: MakeNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "train_private", lambda *arguments, **settings: None)
    assert code_of(ask(nodes(1), TRAIN, PRIVATE)) == "egress"


def test_an_owner_may_raise_the_level_and_not_lower_it(nodes: MakeNodes) -> None:
    assert code_of(ask(nodes(1, level=4), TRAIN, make_task())) == "refused"
    assert code_of(ask(nodes(1, level=2), DESCRIBE, make_task())) == "config"


def test_the_gate_takes_less_than_a_millisecond_of_a_round(nodes: MakeNodes) -> None:
    banks, task = nodes(1), make_task(model=ModelSettings("lstm", hidden=16))
    reply = ask(banks, TRAIN, task)
    here, arrays = institution_of(_context(banks)), outside_plain(task)
    seconds = []
    for _ in range(200):
        started = time.perf_counter()
        egress.pass_reply(reply, to=reply, here=here, task=task, arrays=arrays)
        seconds.append(time.perf_counter() - started)
    assert np.median(seconds) < 1e-3


def _registry(nodes: MakeNodes) -> str:
    path = Path(nodes(1).configs[0]["windows"]).with_name("registry.parquet")
    pd.DataFrame({"name": REGISTRY}).to_parquet(path)
    return str(path)


def _context(banks: Nodes) -> Any:
    grid = InProcessGrid(app, banks.configs)
    return grid._contexts[1]


def _copied(content: RecordDict) -> RecordDict:
    return RecordDict({name: type(record)(dict(record)) for name, record in content.items()})
