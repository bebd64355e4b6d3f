"""A reply that is not whole holds up no other: it is looked at again, and given up when its upload stands still."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from flwr.app import ConfigRecord, RecordDict
from flwr.proto.message_pb2 import PullObjectResponse
from flwr.supercore.inflatable.inflatable_object import get_object_id
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


@dataclass
class Clock:
    """The time that replies are read by: it moves when a test says so, and not while a busy machine pauses."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now


def stopped(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(replies, "time", clock)
    return clock


def test_reply_whose_pieces_are_missing_holds_up_no_other_and_comes_when_they_do() -> None:
    link = SuperLink()
    grid, keys = asking(link, question)
    link.answer(keys[0], pack(RecordDict({"config": ConfigRecord({"other": 1})})), lacks="ConfigRecord")
    for key in keys[1:]:
        link.answer(key, pack(CONTENT))
    began = time.monotonic()
    assert set(pulled(grid, keys)) == set(keys[1:])
    assert pulled(grid, keys[:1]) == {}
    assert time.monotonic() - began < 20.0  # flwr's own grid would wait for hours
    assert link.requests["PullMessages"] == 1  # the SuperLink says of a reply once that it is there
    content = pack(RecordDict({"config": ConfigRecord({"other": 1})}))["packed"].deflate()
    link.objects[get_object_id(content)] = content
    assert pulled(grid, keys[:1])[keys[0]].content["config"]["other"] == 1


def test_reply_of_thousands_of_pieces_gives_the_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "LONGEST_LOOK_SECONDS", 0.05)
    link = SuperLink()
    grid, keys = asking(link, question)
    link.upload(keys[0], *(piece("ArrayChunk", [], number.to_bytes(2)) for number in range(4000)))
    pull, clock = link.PullObject, stopped(monkeypatch)

    def slow(request: object) -> PullObjectResponse:
        clock.now += 0.01
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
    clock = stopped(monkeypatch)
    grid, keys = asking(link, question, nodes=1)
    link.answer(keys[0], pack(CONTENT), lacks="ConfigRecord")
    assert pulled(grid, keys) == {}
    clock.now += 0.03
    assert error_code(pulled(grid, keys)[keys[0]]) == "error-reply"
    assert link.requests["ConfirmMessageReceived"] == 1


def test_piece_that_comes_a_moment_later_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "SOON_SECONDS", 5.0)
    link = SuperLink()
    grid, keys = asking(link, question, nodes=1)
    (missing,) = link.answer(keys[0], pack(CONTENT), lacks="ConfigRecord")
    content = pack(CONTENT)["packed"].deflate()
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
