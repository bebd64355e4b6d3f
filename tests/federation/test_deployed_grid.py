"""What institutions upload for replies: one that lies hurts nobody but itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.message_pb2 import ObjectTree, PullObjectResponse
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import PullAppMessagesResponse
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.task_identity import TaskIdentity

from fedcredit.federation import grid as module
from fedcredit.federation.exchange import Exchange
from fedcredit.federation.grid import DeployedGrid
from fedcredit.federation.packing import PACKED, pack

NAMES = {7: "bank-a", 8: "bank-b"}


@dataclass
class SuperLink:
    """The replies that have come, and their pieces, as a coordinator sees them; it answers for Flower's grid too."""

    replies: list[tuple[ProtoMessage, ObjectTree]] = field(default_factory=list)
    pieces: dict[str, bytes] = field(default_factory=dict)
    confirmed: list[str] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)
    node: Node = field(default_factory=lambda: Node(node_id=1))

    @property
    def _runtime_client(self) -> SuperLink:
        return self

    def PullMessages(self, request: Any) -> PullAppMessagesResponse:  # noqa: N802 - Flower's
        found = [pair for pair in self.replies if pair[0].metadata.reply_to_message_id in request.message_ids]
        self.replies = [pair for pair in self.replies if pair not in found]
        return PullAppMessagesResponse(
            messages_list=[one for one, _ in found], message_object_trees=[tree for _, tree in found]
        )

    def PullObject(self, request: Any) -> PullObjectResponse:  # noqa: N802
        content = self.pieces.get(request.object_id)
        is_there = content is not None
        return PullObjectResponse(object_found=is_there, object_available=is_there, object_content=content or b"")

    def ConfirmMessageReceived(self, request: Any) -> None:  # noqa: N802
        self.confirmed.append(request.message_object_id)

    def push_messages(self, messages: list[Message]) -> list[str]:
        for message in messages:
            message.metadata.__dict__["_message_id"] = message.object_id
        self.sent += messages
        return [message.metadata.message_id for message in messages]

    def upload(self, reply: Message, *, to: Message | None = None) -> None:
        """As a node does; `to` is the message that the SuperLink believes it answers."""
        reply.metadata.__dict__["_message_id"] = reply.object_id
        envelope = message_to_proto(remove_content_from_message(reply) if reply.has_content() else reply)
        if to is not None:
            envelope.metadata.reply_to_message_id = to.metadata.message_id
            envelope.metadata.src_node_id = to.metadata.dst_node_id
        self.replies.append((envelope, get_object_tree(reply)))
        self.pieces |= {key: item.deflate() for key, item in get_all_nested_objects(reply).items()}

    def upload_raw(self, data: bytes, *, to: Message) -> None:
        """Bytes in the place of a reply."""
        self.upload(Message(RecordDict(), reply_to=to), to=to)
        envelope, _ = self.replies.pop()
        envelope.metadata.message_id = hashlib.sha256(data).hexdigest()
        self.pieces[envelope.metadata.message_id] = data
        self.replies.append((envelope, ObjectTree(object_id=envelope.metadata.message_id)))


@dataclass
class Round:
    """Two institutions were asked; the first one lies."""

    superlink: SuperLink
    grid: DeployedGrid
    asked: tuple[Message, Message]

    def replies(self) -> dict[str, str]:
        """What came of each, by name: the code of an error, or the word in it."""
        exchange = Exchange(self.grid, NAMES, deadline_seconds=0.1, poll_seconds=0.001)
        exchange._grid.push_messages = lambda messages: [m.metadata.message_id for m in messages]  # type: ignore[method-assign]
        found, _ = exchange.send(self.asked)
        return {
            name: str(reply.error.reason) if reply.has_error() else str(reply.content["config"]["word"])
            for name, reply in found.items()
        }

    def answer(self, number: int, word: str) -> Message:
        """An honest reply."""
        return Message(pack(RecordDict({"config": ConfigRecord({"word": word})})), reply_to=self.asked[number])


@pytest.fixture
def here() -> Round:
    """Both have been asked, and the second has answered."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    superlink = SuperLink()
    grid = DeployedGrid(superlink)
    first, second = (Message(RecordDict({"config": ConfigRecord({"to": node})}), node, "train") for node in NAMES)
    superlink.push_messages([first, second])
    made = Round(superlink, grid, (first, second))
    superlink.upload(made.answer(1, "b"), to=second)
    return made


def test_replies_come_back_unpacked_and_are_confirmed(here: Round) -> None:
    here.superlink.upload(here.answer(0, "a"), to=here.asked[0])
    assert here.replies() == {"bank-a": "a", "bank-b": "b"}
    assert len(here.superlink.confirmed) == 2


@pytest.mark.parametrize("data", [b"", b"junk", b"Message  4\x00junk", b"RecordDict  0\x00", b"\xff" * 99])
def test_a_reply_that_is_none_is_a_code_and_the_others_count(here: Round, data: bytes) -> None:
    here.superlink.upload_raw(data, to=here.asked[0])
    assert here.replies() == {"bank-a": "node", "bank-b": "b"}
    assert len(here.superlink.confirmed) == 2, "it does not come again"


def test_packed_junk_is_a_code(here: Round) -> None:
    junk = Message(RecordDict({PACKED: ConfigRecord({PACKED: b"\xff" * 9})}), reply_to=here.asked[0])
    here.superlink.upload(junk, to=here.asked[0])
    assert here.replies() == {"bank-a": "config", "bank-b": "b"}


def test_nobody_answers_for_another(here: Round) -> None:
    """The SuperLink knows whose reply it is; what a node writes into it says nothing."""
    here.superlink.replies.clear()
    here.superlink.upload(here.answer(1, "of a, in the name of b"), to=here.asked[0])
    assert here.replies() == {"bank-a": "node"}


def test_a_reply_that_is_too_large_is_a_code(here: Round, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REPLY_BYTES", 3000)
    here.superlink.upload(here.answer(0, "a" * 3000), to=here.asked[0])
    assert here.replies() == {"bank-a": "node", "bank-b": "b"}


def test_a_reply_with_a_missing_piece_is_a_code(here: Round) -> None:
    here.superlink.upload(here.answer(0, "a"), to=here.asked[0])
    _, tree = here.superlink.replies[-1]
    del here.superlink.pieces[tree.children[0].object_id]
    assert here.replies() == {"bank-a": "node", "bank-b": "b"}


def test_an_error_comes_back_as_it_was_sent(here: Round) -> None:
    here.superlink.upload(Message(Error(2, "budget"), reply_to=here.asked[0]), to=here.asked[0])
    assert here.replies() == {"bank-a": "budget", "bank-b": "b"}
