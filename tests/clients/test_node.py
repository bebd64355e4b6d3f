"""A SuperLink that lies to a node: pieces that are no message, are too large, or are not what their names say."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError, ObjectPushError, inflate_object_from_contents
from google.protobuf.message import DecodeError

from clients import node as module
from clients.connection import Fleet
from clients.node import Question, serve
from clients.pending import Pending
from clients.wire import be_task
from fedcredit.errors import FedCreditError
from fedcredit.federation.messages import TRAIN
from fedcredit.federation.objects import MOST_OBJECTS
from fedcredit.federation.packing import pack, packed_mod
from fedcredit.trust.bundle import BundleRefused
from fedcredit.trust.manifest import ManifestRefused

NODE, RUN = 7, 1
CONTENT = RecordDict({"config": ConfigRecord({"server-round": 1})})
CONTEXT = Context(RUN, NODE, node_config={}, state=RecordDict(), run_config={})


class Done(Exception):
    """The mailbox is empty."""


@dataclass
class Lying:
    """A SuperLink with one message in its mailbox; `contents` are its pieces, by the names that the node is told."""

    message: Message
    tree: ObjectTree
    contents: dict[str, bytes]
    replies: list[Message] = field(default_factory=list)
    pushed: list[bytes] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)
    bundle: str = "b" * 64
    is_delivered: bool = False

    def fleet(self) -> Fleet:
        """Its calls, as the node makes them."""

        @dataclass(frozen=True)
        class Answer:
            fab_hash: str = self.bundle
            content: bytes = b""

        return Fleet(
            NODE,
            receive=self._receive,
            send=self._send,
            get_run=lambda run: Answer(),
            get_fab=lambda digest, run: Answer(),
            pull_object=self._pull,
            push_object=lambda run, session, key, content: self.pushed.append(content),
            confirm=lambda run, key: None,
        )

    def told(self, *, known_bundle: Callable[[str, bytes], None] = lambda digest, content: None) -> str:
        """The code that the node answers, or `answered`."""

        def answer(question: Question) -> Message:
            self.asked.append(question)
            return packed_mod(question.message, CONTEXT, lambda asked, _: Message(CONTENT, reply_to=asked))

        def idle() -> None:
            raise Done

        with TemporaryDirectory() as folder:
            pending = Pending(Path(folder) / "question.pb")
            with pytest.raises(Done):
                serve(self.fleet(), answer, known_bundle=known_bundle, idle=idle, pending=pending)
        (reply,) = self.replies
        assert bool(self.asked) is not reply.has_error()
        return str(reply.error.reason) if reply.has_error() else "answered"

    def _receive(self) -> Any:
        if self.is_delivered:
            return None
        self.is_delivered = True
        return message_from_proto(message_to_proto(remove_content_from_message(self.message))), self.tree

    def _pull(self, run: int, key: str) -> bytes:
        if key not in self.contents:
            raise ObjectPullError(key, "not there")
        return self.contents[key]

    def _send(self, reply: Message, tree: ObjectTree, seconds: float) -> tuple[set[str], str]:
        self.replies.append(reply)
        return set(get_all_nested_objects(reply)), "session"


def honest(content: RecordDict | None = None, *, run: int = RUN, node: int = NODE) -> Lying:
    """One with a message that is as it should be."""
    be_task(run=run, node=1)
    message = Message(content if content is not None else CONTENT, node, TRAIN)
    message.metadata.__dict__["_message_id"] = message.object_id
    return of(message)


def question(content: RecordDict) -> Message:
    """A message as the coordinator sends it: of no task."""
    be_task(run=RUN, node=1)
    message = Message(content, NODE, TRAIN)
    message.metadata.__dict__["_src_task_id"] = None
    message.metadata.__dict__["_message_id"] = message.object_id
    return message


def of(message: Message) -> Lying:
    """One with this message."""
    contents = {key: item.deflate() for key, item in get_all_nested_objects(message).items()}
    return Lying(message, get_object_tree(message), contents)


def test_an_honest_message_is_answered() -> None:
    assert honest().told() == "answered"


def test_a_piece_that_is_not_what_its_name_says_is_refused() -> None:
    there, other = honest(), honest(RecordDict({"config": ConfigRecord({"server-round": 2})}))
    key, instead = (one.message.content["config"].object_id for one in (there, other))
    there.contents[key] = other.contents[instead]
    assert there.told() == "node"


def test_a_message_under_the_name_of_another_is_refused() -> None:
    """Else one that was answered could come again as a new one."""
    there = honest()
    key, name = there.message.metadata.message_id, hashlib.sha256(b"a new name").hexdigest()
    there.contents[name] = there.contents.pop(key)
    there.tree.object_id = name
    there.message.metadata.__dict__["_message_id"] = name
    assert there.told() == "node"


@pytest.mark.parametrize(
    "data", [b"", b"junk", b"Message  5\x00abcde", b"\xff" * 50, b"RecordDict  0\x00", b"Context  0\x00"]
)
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    there = honest()
    name = hashlib.sha256(data).hexdigest()
    there.contents = {name: data}
    there.tree = ObjectTree(object_id=name)
    there.message.metadata.__dict__["_message_id"] = name
    assert there.told() == "node"


def test_a_message_with_a_missing_piece_is_refused() -> None:
    there = honest()
    key = there.message.metadata.message_id
    there.contents = {key: there.contents[key]}
    assert there.told() == "node"
    again = honest()
    again.tree = ObjectTree(object_id=again.message.metadata.message_id)
    assert again.told() == "node"


def test_a_message_of_too_many_pieces_is_refused_before_one_is_fetched() -> None:
    there = honest()
    there.contents = {}
    there.tree.children.extend([ObjectTree(object_id=f"{number:064x}") for number in range(MOST_OBJECTS)])
    assert there.told() == "node"


def test_a_message_that_is_too_large_is_not_fetched_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_QUESTION_BYTES", 1000)
    there = honest(RecordDict({"config": ConfigRecord({str(n): "x" * 600 for n in range(2)})}))
    assert there.told() == "node"
    assert honest(RecordDict({"config": ConfigRecord({"x": "x" * 600})})).told() == "answered"


def test_an_error_in_the_place_of_a_question_is_refused() -> None:
    be_task(run=RUN, node=NODE)
    asked = honest().message
    message = Message(Error(2, "of the server"), reply_to=asked)
    message.metadata.__dict__.update(_dst_node_id=NODE, _src_node_id=1, _message_type=TRAIN)
    message.metadata.__dict__["_message_id"] = message.object_id
    assert of(message).told() == "node"


@pytest.mark.parametrize("wrong", [{"run": 2}, {"node": 8}])
def test_a_message_of_another_run_or_node_is_refused(wrong: dict[str, int]) -> None:
    there, outer = honest(**wrong), honest()
    there.message.metadata.__dict__.update(_run_id=RUN, _dst_node_id=NODE)
    assert (outer.told(), there.told()) == ("answered", "node")


def test_of_a_bundle_that_is_refused_no_message_is_fetched() -> None:
    there = honest()
    there.contents = {}

    def refuse(digest: str, content: bytes) -> None:
        raise BundleRefused("bundle", found="another", expected="ours")

    assert there.told(known_bundle=refuse) == "bundle"
    assert not there.asked


def test_what_the_node_sends_is_its_answer_whole() -> None:
    there = honest()
    assert there.told() == "answered"
    (reply,) = there.replies
    contents = {key: item.deflate() for key, item in get_all_nested_objects(reply).items()}
    assert isinstance(inflate_object_from_contents(reply.metadata.message_id, contents), Message)


def test_of_a_packed_reply_only_its_record_is_sent() -> None:
    there = of(question(pack(CONTENT)))
    assert there.told() == "answered"
    (reply,) = there.replies
    assert there.pushed == [reply.content["alone"].deflate()]


@pytest.mark.parametrize("there", [of(question(CONTENT)), honest(pack(CONTENT))], ids=["open", "of a task"])
def test_of_another_reply_every_piece_is_sent(there: Lying) -> None:
    assert there.told() == "answered"
    (reply,) = there.replies
    assert sorted(there.pushed) == sorted(one.deflate() for one in get_all_nested_objects(reply).values())


def answers_on(fleet: Fleet, there: Lying, folder: Path, **more: Any) -> list[str]:
    """The codes that a node answers to the message coming twice, with a fleet whose calls may fail."""
    looks = iter(range(1))

    def idle() -> None:
        if next(looks, None) is None:
            raise Done
        there.is_delivered = False

    def answer(question: Question) -> Message:
        return Message(RecordDict(), reply_to=question.message)

    said = {"known_bundle": lambda digest, content: None, **more}
    with pytest.raises(Done):
        serve(fleet, answer, idle=idle, pending=Pending(folder / "question.pb"), **said)
    return [str(reply.error.reason) if reply.has_error() else "answered" for reply in there.replies]


def failing_once(call: Callable[..., Any], fault: Exception) -> Callable[..., Any]:
    left = [fault]

    def failing(*arguments: Any) -> Any:
        if left:
            raise left.pop()
        return call(*arguments)

    return failing


@pytest.mark.parametrize("fault", [DecodeError("wire"), ValueError("kind"), IndexError("tree")], ids=type)
@pytest.mark.parametrize("call", ["receive", "get_run", "get_fab", "send", "confirm"])
def test_an_answer_that_is_none_of_flowers_does_not_end_the_node(
    call: str, fault: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_POLL_SECONDS", 0.0)
    there = honest()
    fleet = there.fleet()
    codes = answers_on(replace(fleet, **{call: failing_once(getattr(fleet, call), fault)}), there, tmp_path)
    assert codes[-1] == "answered"
    assert codes[:-1] in ([], ["answered"], ["node"]), "what could not be read is dropped, or answered by a code"


def test_a_fault_of_the_moment_is_not_kept_for_the_run_and_a_refused_bundle_is(tmp_path: Path) -> None:
    there, shown = honest(), list[str]()

    def known_bundle(digest: str, content: bytes) -> None:
        shown.append(digest)
        if len(shown) == 1:
            raise ManifestRefused("manifest", found="one that has expired", expected="a newer one")

    assert answers_on(there.fleet(), there, tmp_path, known_bundle=known_bundle) == ["manifest", "answered"]
    there, refusals = honest(), [BundleRefused("bundle", found="another", expected="ours")]

    def once(digest: str, content: bytes) -> None:
        raise refusals.pop()

    assert answers_on(there.fleet(), there, tmp_path, known_bundle=once) == ["bundle", "bundle"]


def test_every_question_that_is_not_answered_is_heard_of_and_may_get_another_code(tmp_path: Path) -> None:
    heard = list[tuple[str, str]]()

    def refused(envelope: Message, fault: FedCreditError) -> str:
        heard.append((envelope.metadata.message_type, fault.code))
        return "audit"

    def known_bundle(digest: str, content: bytes) -> None:
        raise BundleRefused("bundle", found="another", expected="ours")

    there = honest()
    assert answers_on(there.fleet(), there, tmp_path, known_bundle=known_bundle, refused=refused) == ["audit"] * 2
    malformed = honest()
    malformed.contents = dict.fromkeys(malformed.contents, b"junk")
    assert answers_on(malformed.fleet(), malformed, tmp_path, refused=refused) == ["audit"] * 2
    assert heard == [(TRAIN, "bundle")] * 2 + [(TRAIN, "node")] * 2


def test_a_note_of_a_question_that_is_none_does_not_end_the_node(tmp_path: Path) -> None:
    (tmp_path / "question.pb").write_bytes(b"\xff" * 9)
    there = honest()
    assert answers_on(there.fleet(), there, tmp_path) == ["answered"] * 2


@dataclass
class Overtaken:
    """A SuperLink whose first uploads are overtaken by another of the same reply."""

    times: int
    sessions: list[str] = field(default_factory=list)
    pushed: list[str] = field(default_factory=list)

    def send(self, reply: Message, tree: ObjectTree, seconds: float) -> tuple[set[str], str]:
        """Every piece is wanted, in a session of its own."""
        self.sessions.append(f"session-{len(self.sessions)}")
        return set(get_all_nested_objects(reply)), self.sessions[-1]

    def push(self, run: int, session: str, key: str, content: bytes) -> None:
        """Taken in the last session only."""
        if len(self.sessions) <= self.times:
            raise ObjectPushError(key, run, session)
        self.pushed.append(key)


@pytest.mark.parametrize("times", [0, 1, 2])
def test_reply_whose_upload_is_overtaken_is_sent_anew(times: int) -> None:
    lying, link = honest(), Overtaken(times)
    fleet = replace(lying.fleet(), send=link.send, push_object=link.push)
    serve_once(fleet)
    assert len(link.sessions) == times + 1
    assert link.pushed


def test_reply_that_cannot_be_uploaded_is_dropped_and_the_node_goes_on() -> None:
    link = Overtaken(99)
    serve_once(replace(honest().fleet(), send=link.send, push_object=link.push))
    assert len(link.sessions) == module.SENDINGS


def serve_once(fleet: Fleet) -> None:
    """Serve until the mailbox is empty."""

    def idle() -> None:
        raise Done

    with TemporaryDirectory() as folder, pytest.raises(Done):
        serve(
            fleet,
            lambda question: Message(RecordDict(), reply_to=question.message),
            known_bundle=lambda digest, content: None,
            idle=idle,
            pending=Pending(Path(folder) / "question.pb"),
        )
