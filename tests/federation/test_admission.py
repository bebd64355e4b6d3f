"""The gate before the strategies: one bad reply must not reach them, and must say why by a code."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Error, Message, MetricRecord, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from fedcredit.federation.admission import Admitted, Quarantined, Reference, admit
from fedcredit.federation.messages import MAX_EXAMPLES, SCORE_BINS

GLOBAL = {"head.weight": np.zeros((1, 3), np.float32), "head.bias": np.zeros(1, np.float32)}
REFERENCE = Reference.of(ArrayRecord({name: Array(value) for name, value in GLOBAL.items()}))


@pytest.fixture(autouse=True)
def task_identity() -> None:
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1


def reply(arrays: dict[str, Array] | None = None, **metrics: object) -> Message:
    records = {name: Array(value) for name, value in GLOBAL.items()} | (arrays or {})
    content = {"arrays": ArrayRecord(records), "metrics": MetricRecord({"num-examples": 10, **metrics})}  # type: ignore[dict-item]
    return Message(RecordDict(content), 1, "train")


def test_a_clean_reply_is_admitted_with_its_metrics() -> None:
    outcome = admit(reply(loss=0.5), REFERENCE)
    assert isinstance(outcome, Admitted)
    assert outcome.metrics == {"num-examples": 10, "loss": 0.5}
    assert list(outcome.message.content["metrics"]) == ["num-examples"]


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"head.bias": Array(np.array([np.nan], np.float32))}, "not-finite"),
        ({"head.bias": Array(np.array([np.inf], np.float32))}, "not-finite"),
        ({"head.bias": Array(np.full(1, 3e38, np.float32))}, "too-large"),
        ({"head.bias": Array(np.zeros(2, np.float32))}, "shape"),
        ({"head.bias": Array(np.zeros(1, np.float64))}, "dtype"),
        ({"backdoor": Array(np.zeros(1, np.float32))}, "array-names"),
        ({"head.bias": Array("float32", (1,), "numpy.ndarray", b"\x00" * 10)}, "undecodable"),
        ({"head.bias": Array("float32", (1,), "numpy.ndarray", b"\x00" * (64 * 2**20 + 1))}, "oversize"),
        ({"head.bias": Array("float32", (1,), "torch", Array(np.zeros(1, np.float32)).data)}, "undecodable"),
    ],
)
def test_an_odd_array_is_quarantined(arrays: dict[str, Array], reason: str) -> None:
    assert admit(reply(arrays), REFERENCE) == Quarantined(reason)


def test_a_header_that_claims_more_memory_than_it_brings_never_reaches_the_parser() -> None:
    honest = Array(np.zeros(1, np.float32)).data
    bomb = honest.replace(b"(1,), }          ", b"(9999999999,), } ")
    assert len(bomb) == len(honest) != honest.count(b"9")
    for data in (bomb, Array(np.zeros((1, 1), np.float32)).data, b"PK" + honest[2:]):
        array = Array("float32", (1,), "numpy.ndarray", data)
        assert admit(reply({"head.bias": array}), REFERENCE) == Quarantined("undecodable")


@pytest.mark.parametrize("examples", [0, -5, MAX_EXAMPLES + 1, float("nan"), float("inf")])
def test_an_example_count_that_is_not_positive_or_not_plausible_is_quarantined(examples: float) -> None:
    outcome = admit(reply(**{"num-examples": examples}), REFERENCE)
    assert isinstance(outcome, Quarantined)
    assert outcome.reason in ("num-examples", "metric-not-finite")


def test_nobody_counts_more_rows_than_it_said_it_has() -> None:
    assert admit(reply(**{"num-examples": 11}), REFERENCE, most_examples=10) == Quarantined("num-examples")
    assert isinstance(admit(reply(**{"num-examples": 10}), REFERENCE, most_examples=10), Admitted)


def test_a_missing_record_or_count_is_quarantined() -> None:
    assert admit(Message(RecordDict({}), 1, "train"), REFERENCE) == Quarantined("records-missing")
    bare = Message(
        RecordDict({"arrays": reply().content["arrays"], "metrics": MetricRecord({"loss": 1.0})}), 1, "train"
    )
    assert admit(bare, REFERENCE) == Quarantined("num-examples")


@pytest.mark.parametrize("side", [[1] * (SCORE_BINS - 1), [-1] * SCORE_BINS, [0.5] * SCORE_BINS])
def test_odd_validation_counts_are_quarantined(side: list[float]) -> None:
    outcome = admit(reply(**{"validation-good": side, "validation-bad": [0] * SCORE_BINS}), REFERENCE)
    assert outcome == Quarantined("validation-counts")


def test_the_text_of_an_exception_never_becomes_a_reason() -> None:
    asked = Message(RecordDict({}), 1, "train")
    leaky = Message(Error(2, "<class 'RuntimeError'>:<boom from client ID 4403>"), reply_to=asked)
    ours = Message(Error(2, "checkpoint"), reply_to=asked)
    assert admit(leaky, REFERENCE) == Quarantined("error-2")
    assert admit(ours, REFERENCE) == Quarantined("error-checkpoint")
