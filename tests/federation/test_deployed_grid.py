"""What one member uploads is no other member's concern: each reply becomes a message or a code, on its own and soon."""

from __future__ import annotations

import httpx
import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.proto.error_pb2 import Error as ErrorProto
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.runtime_pb2 import PullAppMessagesResponse
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError
from flwr.supercore.task_identity import TaskIdentity

from fedcredit.federation import deployed_grid, replies
from fedcredit.federation.admission import error_code
from fedcredit.federation.arrays import decode
from fedcredit.federation.deployed_grid import DeployedGrid
from fedcredit.federation.packing import alone, pack
from tests.federation.uploading import CONTENT, RUN, SuperLink, asking, piece, pulled, question, refusal


@pytest.fixture(autouse=True)
def _task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TaskIdentity, "_run_id", RUN)
    monkeypatch.setattr(TaskIdentity, "_node_id", 1)
    monkeypatch.setattr(TaskIdentity, "_task_id", 1)
    monkeypatch.setattr(replies, "SOON_SECONDS", 0.0)
    monkeypatch.setattr(replies, "LONGEST_LOOK_SECONDS", 60.0)  # a busy machine pauses for longer than a second


def test_packed_replies_come_unpacked_in_three_pieces_each_and_in_one_where_the_record_comes_alone() -> None:
    link = SuperLink()
    for sent, pieces in ((pack, 9), (lambda content: alone(pack(content)), 3)):
        grid, keys = asking(link, question)
        link.requests.clear()
        for key in keys:
            link.answer(key, sent(CONTENT))
        found = pulled(grid, keys)
        assert [found[key].content["config"]["k"] for key in keys] == [1, 1, 1]
        assert [found[key].metadata.src_node_id for key in keys] == [11, 12, 13]
        assert link.requests == {"PullMessages": 1, "PullObject": pieces, "ConfirmMessageReceived": 3}
        assert pulled(grid, keys) == {}


def test_nodes_that_work_out_the_rest_are_sent_the_record_only_until_one_owes_a_reply() -> None:
    link = SuperLink()
    grid, keys = asking(link, question)
    whole = {"PushMessages": 1, "PushObject ConfigRecord": 1, "PushObject RecordDict": 1, "PushObject Message": 3}
    assert link.requests == whole
    for key in keys:
        link.answer(key, alone(pack(CONTENT)))
    assert len(pulled(grid, keys)) == 3
    link.requests.clear()
    again = list(grid.push_messages([question(node) for node in (11, 12, 13)]))
    assert link.requests == {"PushMessages": 1, "PushObject ConfigRecord": 1}
    link.answer(again[0], alone(pack(CONTENT)))
    link.answer(again[1], pack(CONTENT))  # it is Flower's own now
    assert len(pulled(grid, again)) == 2
    link.requests.clear()
    list(grid.push_messages([question(node) for node in (11, 12, 13)]))
    assert link.requests == {**whole, "PushObject Message": 2}


def test_a_question_that_was_read_before_it_was_sent_whole_counts_as_sent() -> None:
    link = SuperLink()
    link.refused = {"Message", "RecordDict"}
    _, keys = asking(link, question)
    assert [link.asked(key)["config"]["round"] for key in keys] == [1, 1, 1]
    link.refused = {"ConfigRecord"}
    with pytest.raises(ObjectPushError):
        asking(link, question)


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


def test_messages_that_are_made_one_after_the_other_keep_their_own_contents() -> None:
    link, count = SuperLink(), 200
    made = (Message(RecordDict({"config": ConfigRecord({"k": number})}), 11, "train") for number in range(count))
    keys = list(DeployedGrid(link).push_messages(made))
    assert [link.asked(key)["config"]["k"] for key in keys] == list(range(count))


def test_question_expires_soon_after_nobody_waits_for_its_answer() -> None:
    link = SuperLink()
    (key,) = DeployedGrid(link, deadline_seconds=30.0).push_messages([question(11)])
    assert link.sent[key].metadata.ttl == 30.0 + deployed_grid.AFTER_THE_DEADLINE_SECONDS
