"""Institutions that lie and a grid that withholds: the same ClientApp, with one node's answers exchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from clients.app import app
from fedcredit.federation.grid import InProcessGrid
from fedcredit.federation.messages import ARRAYS, EXAMPLES, METRICS
from tests.conftest import Nodes

Answer = Callable[[Message, Message], Message]  # what came in, the honest reply -> what is sent


class Misbehaving:
    """The institutions' ClientApp, in which the named ones answer messages of one kind as `answer` says."""

    def __init__(self, answers: dict[str, Answer], *, kind: str = "train") -> None:
        self.answers, self.kind = answers, kind

    def __call__(self, message: Message, context: Context) -> Message:
        reply = app(message, context)
        answer = self.answers.get(str(context.node_config["institution"]))
        return answer(message, reply) if answer and message.metadata.message_type == self.kind else reply


def grid_of(nodes: Nodes, answers: dict[str, Answer] | None = None, *, kind: str = "train") -> InProcessGrid:
    """A grid of the nodes; those named in `answers` misbehave."""
    served: ClientApp = Misbehaving(answers, kind=kind) if answers else app
    return InProcessGrid(served, nodes.configs)


def altered(**arrays: np.ndarray) -> Answer:
    """An honest reply with some arrays exchanged; `head_bias` stands for head.bias."""

    def answer(message: Message, reply: Message) -> Message:
        changed = {name.replace("_", "."): Array(value) for name, value in arrays.items()}
        record = ArrayRecord({**dict(reply.content[ARRAYS]), **changed})
        return Message(RecordDict({ARRAYS: record, METRICS: reply.content[METRICS]}), reply_to=message)

    return answer


def counted(examples: float) -> Answer:
    """An honest update with another example count."""

    def answer(message: Message, reply: Message) -> Message:
        metrics = MetricRecord({**dict(reply.content[METRICS]), EXAMPLES: examples})
        return Message(RecordDict({ARRAYS: reply.content[ARRAYS], METRICS: metrics}), reply_to=message)

    return answer


def raises(message: Message, reply: Message) -> Message:
    """An app that fails with a text that names a company."""
    raise RuntimeError("company 91330100MA27 has debt 4403")


class Withholding(InProcessGrid):
    """Keeps back each node's train replies of the rounds in `late` until a later round's messages are pushed."""

    def __init__(self, nodes: Nodes, *, late: dict[int, set[int]], until: int) -> None:
        super().__init__(app, nodes.configs)
        self.late, self.until, self.round = late, until, 0
        self.kept: set[str] = set()
        self.asked: list[tuple[int, int]] = []

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        messages = list(messages)
        number = int(messages[0].content["config"].get("server-round", 0))
        keys = super().push_messages(messages)
        self.asked += [(number, message.metadata.dst_node_id) for message in messages]
        for key, message in zip(keys, messages, strict=True):
            if message.metadata.message_type == "train" and number in self.late.get(message.metadata.dst_node_id, ()):
                self.kept.add(key)
        if number >= self.until:
            self.kept.clear()
        return keys

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        return super().pull_messages([key for key in message_ids if key not in self.kept])
