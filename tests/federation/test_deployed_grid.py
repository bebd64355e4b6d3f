"""What one member uploads is no other member's concern: each reply becomes a message or a code, on its own and soon."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import httpx
import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.proto.error_pb2 import Error as ErrorProto
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.message_pb2 import ObjectTree, PullObjectResponse
from flwr.proto.runtime_pb2 import PullAppMessagesResponse
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_id
from flwr.supercore.task_identity import TaskIdentity

from fedcredit.federation import deployed_grid, replies
from fedcredit.federation.admission import error_code
from fedcredit.federation.arrays import decode
from fedcredit.federation.deployed_grid import DeployedGrid
from fedcredit.federation.packing import pack
from tests.federation.uploading import RUN, SuperLink, asking, piece, refusal

CONTENT = RecordDict({"config": ConfigRecord({"k": 1}), "arrays": ArrayRecord({"w": Array(np.zeros(4, np.float32))})})


@pytest.fixture(autouse=True)
def _task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TaskIdentity, "_run_id", RUN)
    monkeypatch.setattr(TaskIdentity, "_node_id", 1)
    monkeypatch.setattr(TaskIdentity, "_task_id", 1)
    monkeypatch.setattr(replies, "SOON_SECONDS", 0.0)


def question(node: int) -> Message:
    return Message(RecordDict({"config": ConfigRecord({"round": 1})}), node, "train")


def pulled(grid: DeployedGrid, keys: list[str]) -> dict[str, Message]:
    return {reply.metadata.reply_to_message_id: reply for reply in grid.pull_messages(keys)}


def test_packed_replies_cost_three_pieces_each_and_come_unpacked() -> None:
    link = SuperLink()
    grid, keys = asking(link, question)
    for key in keys:
        link.answer(key, pack(CONTENT))
    found = pulled(grid, keys)
    assert [found[key].content["config"]["k"] for key in keys] == [1, 1, 1]
    assert [found[key].metadata.src_node_id for key in keys] == [11, 12, 13]
    assert link.requests == {"PullMessages": 1, "PullObject": 9, "ConfirmMessageReceived": 3}
    assert pulled(grid, keys) == {}


def test_reply_that_is_too_large_to_be_packed_comes_in_pieces() -> None:
    link = SuperLink()
    grid, keys = asking(link, question, nodes=1)
    link.answer(keys[0], CONTENT)
    np.testing.assert_array_equal(decode(pulled(grid, keys)[keys[0]].content["arrays"]["w"]), np.zeros(4))


def test_error_reply_keeps_its_code() -> None:
    link = SuperLink()
    grid, keys = asking(link, question, nodes=1)
    said = MessageProto(error=ErrorProto(code=2, reason="budget"))
    said.metadata.message_type = "train"
    link.upload(keys[0], piece("Message", [], said.SerializeToString()))
    assert error_code(pulled(grid, keys)[keys[0]]) == "error-budget"


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


def test_piece_under_another_name_is_refused() -> None:
    link = SuperLink()
    grid, keys = asking(link, question, nodes=1)
    link.answer(keys[0], pack(CONTENT))
    for name, content in link.objects.items():
        if content is not None and content.startswith(b"ConfigRecord"):
            link.objects[name] = pack(RecordDict({}))["packed"].deflate()
    assert error_code(pulled(grid, keys)[keys[0]]) == "error-reply"


def test_reply_is_whose_the_superlink_says_and_to_what_it_says() -> None:
    link = SuperLink()
    grid, keys = asking(link, question)
    link.answer(
        keys[0],
        pack(CONTENT),
        reply_to_message_id=keys[2],
        src_node_id=13,
        message_type="evaluate",
        run_id=9,
        group_id="x",
    )
    about = pulled(grid, keys)[keys[0]].metadata
    assert (about.src_node_id, about.message_type, about.run_id) == (11, "train", RUN)


def test_reply_that_was_not_asked_for_is_left_out() -> None:
    link = SuperLink()
    grid, keys = asking(link, question)
    link.answer(keys[0], pack(CONTENT))
    envelope, tree = link.held.pop()
    envelope.metadata.reply_to_message_id = "another"
    said = PullAppMessagesResponse(messages_list=[envelope], message_object_trees=[tree])
    link.PullMessages = lambda request: said  # type: ignore[method-assign]
    assert pulled(grid, keys) == {}


def test_second_reply_to_one_message_counts_for_nothing() -> None:
    link = SuperLink()
    grid, keys = asking(link, question, nodes=1)
    link.answer(keys[0], pack(CONTENT))
    link.answer(keys[0], pack(RecordDict({"config": ConfigRecord({"k": 2})})))
    (reply,) = grid.pull_messages(keys)
    assert reply.content["config"]["k"] == 1


def test_reply_may_have_four_times_the_bytes_of_the_largest_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployed_grid, "LEAST_REPLY_BYTES", 1000)
    link = SuperLink()

    def large(node: int) -> Message:
        return Message(RecordDict({"config": ConfigRecord({"x": b"x" * 10_000})}), node, "train")

    grid, keys = asking(link, large, nodes=2)
    link.answer(keys[0], RecordDict({"config": ConfigRecord({"x": b"y" * 39_000})}))
    link.answer(keys[1], RecordDict({"config": ConfigRecord({"x": b"z" * 41_000})}))
    found = pulled(grid, keys)
    assert [found[key].has_error() for key in keys] == [False, True]


# An upload that is not whole.


def test_reply_whose_pieces_are_missing_holds_up_no_other_and_comes_when_they_do() -> None:
    link = SuperLink()
    grid, keys = asking(link, question)
    link.answer(keys[0], pack(RecordDict({"config": ConfigRecord({"other": 1})})), lacks="ConfigRecord")
    for key in keys[1:]:
        link.answer(key, pack(CONTENT))
    began = time.monotonic()
    assert set(pulled(grid, keys)) == set(keys[1:])
    assert pulled(grid, keys[:1]) == {}
    assert time.monotonic() - began < 1.0
    assert link.requests["PullMessages"] == 1  # the SuperLink says of a reply once that it is there
    content = pack(RecordDict({"config": ConfigRecord({"other": 1})}))["packed"].deflate()
    link.objects[get_object_id(content)] = content
    assert pulled(grid, keys[:1])[keys[0]].content["config"]["other"] == 1


def test_reply_of_thousands_of_pieces_gives_the_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "LONGEST_LOOK_SECONDS", 0.05)
    link = SuperLink()
    grid, keys = asking(link, question)
    link.upload(keys[0], *(piece("ArrayChunk", [], number.to_bytes(2)) for number in range(4000)), RECORD)
    pull = link.PullObject

    def slow(request: object) -> PullObjectResponse:
        time.sleep(0.01)
        return pull(request)

    link.PullObject = slow  # type: ignore[method-assign]
    for key in keys[1:]:
        link.answer(key, pack(CONTENT))
    assert set(pulled(grid, keys)) == set(keys[1:])
    assert link.requests["PullObject"] < 20
    assert pulled(grid, keys[:1]) == {}
    assert 6 < link.requests["PullObject"] < 40  # it goes on where it was


def test_upload_that_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "STANDSTILL_SECONDS", 0.02)
    link = SuperLink()
    grid, keys = asking(link, question, nodes=1)
    link.answer(keys[0], pack(CONTENT), lacks="Message")
    assert pulled(grid, keys) == {}
    time.sleep(0.03)
    assert error_code(pulled(grid, keys)[keys[0]]) == "error-reply"
    assert link.requests["ConfirmMessageReceived"] == 1


def test_piece_that_comes_a_moment_later_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "SOON_SECONDS", 5.0)
    link = SuperLink()
    grid, keys = asking(link, question, nodes=1)
    (missing,) = link.answer(keys[0], pack(CONTENT), lacks="RecordDict")
    content = pack(CONTENT).deflate()
    looks = iter([None, None, content])
    pull: Callable[[object], object] = link.PullObject

    def late(request: object) -> object:
        if request.object_id == missing:  # type: ignore[attr-defined]
            link.objects[missing] = next(looks)
        return pull(request)

    link.PullObject = late  # type: ignore[method-assign,assignment]
    assert pulled(grid, keys)[keys[0]].content["config"]["k"] == 1
    assert link.requests["PullObject"] == 5


def test_upload_that_was_broken_off_is_an_error_reply() -> None:
    link = SuperLink()
    grid, keys = asking(link, question, nodes=1)
    link.answer(keys[0], pack(CONTENT))
    link.objects.pop(next(iter(link.objects)))
    assert error_code(pulled(grid, keys)[keys[0]]) == "error-reply"


# The SuperLink around it.


def test_superlink_that_cannot_hand_out_what_it_holds_is_asked_again() -> None:
    link = SuperLink()
    grid, keys = asking(link, question)
    link.answer(keys[0], pack(CONTENT))
    link.broken = True
    assert pulled(grid, keys) == {}
    link.broken = False
    assert set(pulled(grid, keys)) == {keys[0]}


@pytest.mark.parametrize("name", ["PullMessages", "PullObject", "ConfirmMessageReceived"])
def test_coordinator_that_is_shut_out_does_not_go_on(name: str) -> None:
    link = SuperLink()
    grid, keys = asking(link, question, nodes=1)
    link.answer(keys[0], pack(CONTENT))

    def shut(request: object) -> None:
        raise refusal(401)

    setattr(link, name, shut)
    with pytest.raises(httpx.HTTPStatusError):
        grid.pull_messages(keys)


def test_same_question_has_an_id_that_nobody_can_guess() -> None:
    first, second = SuperLink(), SuperLink()
    message = question(11)
    (one,) = DeployedGrid(first).push_messages([message])
    (other,) = DeployedGrid(second).push_messages([message])
    groups = [link.sent[key].metadata.group_id for link, key in ((first, one), (second, other))]
    assert one != other
    assert len(set(groups)) == 2
    assert all(len(group) >= 32 for group in groups)


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
