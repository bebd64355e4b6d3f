"""A member that uploads what it likes is answered for by a code, and the others' replies come all the same."""

from __future__ import annotations

import json

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.proto.error_pb2 import Error as ErrorProto
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_id
from flwr.supercore.task_identity import TaskIdentity

from fedcredit.federation import replies
from fedcredit.federation.admission import error_code
from fedcredit.federation.packing import pack
from tests.federation.uploading import CONTENT, RUN, SuperLink, asking, piece, pulled, question


@pytest.fixture(autouse=True)
def _task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TaskIdentity, "_run_id", RUN)
    monkeypatch.setattr(TaskIdentity, "_node_id", 1)
    monkeypatch.setattr(TaskIdentity, "_task_id", 1)
    monkeypatch.setattr(replies, "SOON_SECONDS", 0.0)
    monkeypatch.setattr(replies, "LONGEST_LOOK_SECONDS", 60.0)  # a busy machine pauses for longer than a second


# What a malicious member can upload. The two others' replies come all the same, at once.

RECORD = piece("ConfigRecord", [], b"")
RECORD_NAME = get_object_id(RECORD)


def array_of(chunks: list[int], *made_of: bytes) -> list[bytes]:
    """The pieces of an array record whose one array is made of these."""
    body = {"dtype": "float32", "shape": [1], "stype": "numpy.ndarray", "arraychunk_ids": chunks}
    array = piece("Array", [get_object_id(one) for one in made_of], json.dumps(body).encode())
    name = get_object_id(array)
    return [*made_of, array, piece("ArrayRecord", [name], json.dumps({"w": name}).encode())]


def message_of(*pieces: bytes, kind: str = "train") -> list[bytes]:
    """With a message whose content is the last of the pieces."""
    about = MessageProto()
    about.metadata.message_type = kind
    return [*pieces, piece("Message", [get_object_id(pieces[-1])], about.SerializeToString())]


def rooted(*pieces: bytes, kind: str = "train") -> list[bytes]:
    """As the content of a message with one record, the last of the pieces."""
    name = get_object_id(pieces[-1])
    return message_of(*pieces, piece("RecordDict", [name], json.dumps({"a": name}).encode()), kind=kind)


MILLION = piece("ArrayChunk", [], b"x" * 2**20)
UPLOADS: dict[str, list[bytes]] = {
    "a record where a message belongs": [RECORD],
    "a body that does not decode": [b"Message  2\0\xff\xff"],
    "no head": [b"\0"],
    "nothing between the words": [b"garbage"],
    "a kind that flwr does not know": [piece("os.system", [], b"")],
    "a message with neither content nor error": [piece("Message", [], MessageProto().SerializeToString())],
    "a message type that is none": rooted(RECORD, kind="os.system('x')"),
    "a record as the content": message_of(RECORD),
    "a message as the content": message_of(*rooted(RECORD)),
    "a piece that is not in the tree": [piece("Message", ["0" * 64], b"")],
    "names that are a list": rooted(piece("ArrayRecord", [], b"[]")),
    "names that are nested a hundred thousand deep": rooted(piece("ArrayRecord", [], b"[" * 100_000)),
    "bytes that are no text": rooted(piece("ArrayRecord", [], b"\xff\xfe")),
    "a number of bytes that is none": [b"Message  many\0"],
    "an array that names one piece a thousand times": rooted(*array_of([0] * 1000, MILLION)),
    "an array of arrays": rooted(*array_of([0, 0], *array_of([0, 0], MILLION)[:-1][::-1])),
    "an array with no such piece": rooted(*array_of([5], MILLION)),
    "more bytes than any question": [MILLION + bytes([number]) for number in range(5)],
    "more names than a record has": rooted(piece("RecordDict", [], b" " * (2**20 + 1))),
    "a packed content that is none": [],
}


@pytest.mark.parametrize("name", UPLOADS)
def test_malformed_reply_is_an_error_of_its_sender_alone(name: str, caplog: pytest.LogCaptureFixture) -> None:
    link = SuperLink()
    grid, keys = asking(link, question)
    link.answer(keys[0], pack(CONTENT))
    if UPLOADS[name]:
        link.upload(keys[1], *UPLOADS[name])
    else:
        link.answer(keys[1], RecordDict({"packed": ConfigRecord({"packed": b"\xff"})}))
    link.answer(keys[2], pack(CONTENT))
    found = pulled(grid, keys)
    assert [found[key].has_error() for key in keys] == [False, True, False]
    assert error_code(found[keys[1]]) == "error-reply"
    assert found[keys[1]].metadata.src_node_id == 12
    assert "a reply of node 12 is not read" in caplog.text
    assert link.requests["ConfirmMessageReceived"] == 3


@pytest.mark.parametrize("packed", [True, False])
def test_no_change_of_bytes_ends_the_study(packed: bool) -> None:
    draw = np.random.default_rng(5)
    metrics = MetricRecord({"n": 3, "h": [1, 2]})
    content = RecordDict({**CONTENT, "metrics": metrics})
    content = pack(content) if packed else content
    link = SuperLink()
    grid, keys = asking(link, question, nodes=300)
    for key in keys:
        reply = Message(content, reply_to=link.sent[key])
        pieces = [bytearray(item.deflate()) for item in get_all_nested_objects(reply).values()]
        changed = pieces[draw.integers(len(pieces))]
        for _ in range(draw.integers(1, 4)):
            changed[draw.integers(len(changed))] = draw.integers(256)
        link.upload(key, *_renamed([bytes(one) for one in pieces], list(get_all_nested_objects(reply))))
    found = pulled(grid, keys)
    assert set(found) == set(keys)
    assert 20 < sum(reply.has_error() for reply in found.values()) < 300


def _renamed(pieces: list[bytes], names: list[str]) -> list[bytes]:
    """The pieces with the names that they have after a change: each before those that it is a part of."""
    made: list[bytes] = []
    for number in range(len(pieces)):
        content = pieces[number]
        for before, after in zip(names, made, strict=False):
            content = content.replace(before.encode(), get_object_id(after).encode())
        made.append(content)
    return made


def test_reply_of_more_pieces_than_a_message_has_is_not_pulled() -> None:
    link = SuperLink()
    grid, keys = asking(link, question, nodes=1)
    many = [ObjectTree(object_id=f"{number:064x}") for number in range(5000)]
    link.upload(keys[0], RECORD, tree=ObjectTree(object_id=RECORD_NAME, children=many))
    assert error_code(pulled(grid, keys)[keys[0]]) == "error-reply"
    assert link.requests["PullObject"] == 0


def test_reply_that_says_an_error_and_a_content_is_read_as_the_error() -> None:
    link = SuperLink()
    grid, keys = asking(link, question, nodes=1)
    said = MessageProto(error=ErrorProto(code=2, reason="company 4403"))
    said.metadata.message_type = "train"
    pieces = rooted(RECORD)
    link.upload(keys[0], *pieces[:-1], piece("Message", [get_object_id(pieces[-2])], said.SerializeToString()))
    found = pulled(grid, keys)[keys[0]]
    assert found.error == Error(2, "company 4403")
    assert error_code(found) == "error-2"
