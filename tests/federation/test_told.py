"""What an envelope tells of a message is used where its hash says that it is right, and nowhere else."""

from __future__ import annotations

import time

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.app.message.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.task_identity import TaskIdentity

from fedcredit.federation.packing import alone, pack
from fedcredit.federation.told import told, told_alone

CONTENT = RecordDict({"config": ConfigRecord({"k": 1})})


@pytest.fixture(autouse=True)
def _task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TaskIdentity, "_run_id", 7)
    monkeypatch.setattr(TaskIdentity, "_node_id", 1)
    monkeypatch.setattr(TaskIdentity, "_task_id", 1)


def announced(message: Message) -> tuple[MessageProto, ObjectTree, dict[str, bytes]]:
    """The message as a SuperLink announces it, which keeps no task's id, and all its pieces."""
    message.metadata.__dict__["_message_id"] = message.object_id
    pieces = {name: one.deflate() for name, one in get_all_nested_objects(message).items()}
    envelope = message_to_proto(remove_content_from_message(message))
    envelope.metadata.ClearField("src_task_id")
    envelope.metadata.ClearField("dst_task_id")
    return envelope, get_object_tree(message), pieces


def packed() -> Message:
    """A question as the coordinator sends it."""
    message = Message(pack(CONTENT), 12, "train")
    message.metadata.__dict__["_src_task_id"] = None
    return message


def test_of_a_packed_message_only_its_record_need_be_fetched() -> None:
    message = packed()
    envelope, tree, pieces = announced(message)
    record = message.content["packed"].object_id
    assert told(envelope, tree) == {name: piece for name, piece in pieces.items() if name != record}


def test_an_error_is_told_whole() -> None:
    question = packed()
    announced(question)
    envelope, tree, pieces = announced(Message(Error(2, "schema"), reply_to=question))
    assert told(envelope, tree) == pieces


def test_of_a_reply_all_but_the_record_is_told_where_that_comes_alone_and_nothing_where_it_does_not() -> None:
    question = packed()
    announced(question)
    for content, is_told in ((alone(pack(CONTENT)), True), (pack(CONTENT), False), (CONTENT, False)):
        reply = Message(content, reply_to=question)
        envelope, tree, pieces = announced(reply)
        record = tree.children[0].children[0].object_id
        rest = {name: piece for name, piece in pieces.items() if name != record}
        assert told_alone(envelope, tree) == (rest if is_told else {})
    envelope, tree, _ = announced(Message(Error(2, "schema"), reply_to=question))
    assert told_alone(envelope, tree) == {}


def test_names_of_records_are_not_guessed() -> None:
    message = Message(CONTENT, 12, "train")
    message.metadata.__dict__["_src_task_id"] = None
    envelope, tree, pieces = announced(message)
    assert told(envelope, tree) == {message.object_id: pieces[message.object_id]}


def test_an_envelope_that_says_other_than_the_message_tells_nothing_of_it() -> None:
    message = packed()
    envelope, tree, pieces = announced(message)
    envelope.metadata.src_node_id = 13
    content = message.content.object_id
    assert told(envelope, tree) == {content: pieces[content]}


def test_a_message_of_a_task_is_not_told_by_its_envelope() -> None:
    message = Message(pack(CONTENT), 12, "train")
    envelope, tree, _ = announced(message)
    assert message.object_id not in told(envelope, tree)


def test_a_tree_of_many_contents_tells_nothing_and_takes_no_time() -> None:
    message = packed()
    envelope, tree, _ = announced(message)
    many = ObjectTree(object_id=tree.object_id, children=[tree.children[0]] * 100_000)
    took = []
    for _ in range(5):  # the quickest: a collection of garbage may fall on any one
        began = time.thread_time()
        assert told(envelope, many) == {}
        took.append(time.thread_time() - began)
    assert min(took) < 0.01


def test_a_tree_of_nonsense_tells_nothing() -> None:
    tree = ObjectTree(object_id="x" * 9, children=[ObjectTree(object_id="y", children=[ObjectTree(object_id="z\0")])])
    assert told(MessageProto(), tree) == {}
