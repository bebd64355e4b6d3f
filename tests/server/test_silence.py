"""The last question of a private study: who says nothing then, or nonsense, takes the study from nobody else."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from flwr.app import Message, MetricRecord, RecordDict

from fedcredit.errors import FederationError
from fedcredit.federation.cohort import Register
from fedcredit.federation.grid import InProcessGrid
from fedcredit.federation.messages import SPENT, PrivacyTerms
from fedcredit.models.train import LocalSettings
from server.app import conduct
from tests.conftest import Nodes
from tests.federation.conftest import make_order, make_task
from tests.federation.misbehaving import Answer, Misbehaving, raises

MakeNodes = Callable[..., Nodes]
TERMS = PrivacyTerms(epsilon=4.0, delta=1e-5, clip=1.0, sample_rate=0.5, steps=1, rounds=10)
ORDER = make_order(make_task(privacy=TERMS, metrics="none", local=LocalSettings("sgd", lr=0.1)), rounds=2)
NAMES = ("bank-0", "bank-1", "bank-2")
REGISTER = Register({base64.b64encode(name.encode()).decode(): name for name in NAMES}, settle_seconds=0.01)


class Keyed(InProcessGrid):
    """A grid that knows its nodes by their keys, as a SuperLink's does."""

    def get_nodes(self) -> Iterable[Any]:
        return [SimpleNamespace(node_id=node, public_key=name.encode()) for node, name in enumerate(NAMES, start=1)]


def saying(epsilon: float | str) -> Answer:
    def answer(message: Message, reply: Message) -> Message:
        metrics = MetricRecord({} if isinstance(epsilon, str) else {"epsilon": epsilon})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return answer


@pytest.mark.parametrize(
    "answer",
    [raises, saying("nothing"), saying(-1.0), saying(float("nan")), saying(float("inf"))],
    ids=["refusal", "nothing", "negative", "nan", "infinite"],
)
def test_institution_without_a_last_word_is_counted_with_what_the_plan_allowed(
    nodes: MakeNodes, answer: Answer
) -> None:
    grid = Keyed(Misbehaving({"bank-1": answer}, kind=SPENT), nodes(3).configs)
    done = conduct(grid, ORDER, register=REGISTER)
    assert done.silent == ("bank-1",)
    assert done.epsilon["bank-1"] == TERMS.epsilon
    assert all(0 < done.epsilon[name] < TERMS.epsilon for name in ("bank-0", "bank-2"))


def test_where_all_are_this_process_a_missing_last_word_is_a_fault(nodes: MakeNodes) -> None:
    grid = InProcessGrid(Misbehaving({"bank-1": raises}, kind=SPENT), nodes(3).configs)
    with pytest.raises(FederationError, match="one from every institution"):
        conduct(grid, ORDER)
