"""Questions that wait at the SuperLink become answers of this institution's worker: the node's one long-lived process.

It runs nothing that comes by wire: Flower's
SuperNode starts a process for each message and executes the app bundle in it, which takes 3 to 6 seconds a message and
trusts whoever may submit one. Private names of flwr (pinned to one minor version) are used here; where else,
fedcredit/federation/grid.py says.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from flwr.app import Error, Message
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectPushError,
    ObjectUnavailableError,
    push_object_contents_from_iterable,
)
from flwr.supercore.run import RunNotRunningException
from google.protobuf.message import DecodeError
from httpx import HTTPError

from clients.connection import Fleet
from clients.pending import Pending
from clients.wire import be_task, pack, unpack
from fedcredit.errors import FedCreditError, NodeError
from fedcredit.federation.packing import alone, is_packed
from fedcredit.federation.pieces import whole
from fedcredit.federation.told import told_alone
from fedcredit.trust.bundle import BundleRefused

log = logging.getLogger(__name__)

SENDINGS = 3  # of one reply, before it is given up
# What flwr's client raises, and protobuf below it, where the SuperLink answers with other bytes than Flower's.
UNREADABLE = (DecodeError, LookupError, TypeError, ValueError, RecursionError)
CLIENT_APP_RAISED = 2  # flwr's ErrorCode.CLIENT_APP_RAISED_EXCEPTION
MAX_QUESTION_BYTES = 64 * 1024 * 1024  # the global model, float32: sixteen million weights
# A mailbox is looked into when the next question can be there, by how long the last ones took to come, and then after
# a while that grows with how long it has been empty.
FIRST_POLL_SECONDS, POLL_GROWTH, LONGEST_POLL_SECONDS = 0.05, 1.5, 1.0
EARLIEST_LOOK, GAPS = 0.7, 3


@dataclass(frozen=True)
class Question:
    """One message as it came: the bundle that the run names, and the message with its content."""

    bundle: str
    message: Message


Answer = Callable[[Question], Message]
Refused = Callable[[Message, FedCreditError], str]


def code_of(envelope: Message, fault: FedCreditError) -> str:
    """The code of a refusal that is kept nowhere."""
    return fault.code


def serve(
    fleet: Fleet,
    answer: Answer,
    *,
    known_bundle: Callable[[str, bytes], None],
    idle: Callable[[], None],
    pending: Pending,
    refused: Refused = code_of,
) -> None:
    """Answer questions until the process is asked to stop; `idle` is called whenever the mailbox is empty.

    `known_bundle` is shown the bundle of every new run and raises where the institution does not allow it. `pending`
    knows the question over which an earlier process died: its answer is a code. `refused` hears of every question that
    is not answered, and says by which code.
    """
    bundles: dict[int, str | FedCreditError] = {}
    gaps = deque([0.0], maxlen=GAPS)
    wait, answered = FIRST_POLL_SECONDS, time.monotonic()
    _own_up(fleet, pending)
    while True:
        found = _receive(fleet)
        if found is None:
            idle()
            time.sleep(wait)
            wait = min(wait * POLL_GROWTH, LONGEST_POLL_SECONDS)
            continue
        gaps.append(time.monotonic() - answered)
        envelope, tree = found
        with pending.noted(pack(envelope)), _dropped(envelope):
            _answer_one(fleet, envelope, tree, answer, bundles, known_bundle, refused)
        wait, answered = FIRST_POLL_SECONDS, time.monotonic()
        time.sleep(min(EARLIEST_LOOK * min(gaps), LONGEST_POLL_SECONDS))


@contextmanager
def _said() -> Iterator[None]:
    """What the SuperLink says. Raises NodeError: it is none of Flower's messages."""
    try:
        yield
    except UNREADABLE as fault:
        found = f"an answer that cannot be read ({type(fault).__name__})"
        raise NodeError("SuperLink", found=found, expected="one of Flower's") from None


def _receive(fleet: Fleet) -> Any:
    try:
        with _said():
            return fleet.receive()
    except RunNotRunningException:  # flwr's reading of a 403: the gateway does not know this institution any more
        log.warning("the gateway refuses this node")
        time.sleep(LONGEST_POLL_SECONDS)
        return None
    except (HTTPError, NodeError) as fault:
        log.warning("the mailbox cannot be read: %s", fault)
        time.sleep(LONGEST_POLL_SECONDS)
        return None


@contextmanager
def _dropped(envelope: Message) -> Iterator[None]:
    """A question whose answer nobody takes any more is dropped: the node goes on with the next."""
    try:
        yield
    except RunNotRunningException:
        log.info("run %s is over: its question is dropped", envelope.metadata.run_id)
    except (HTTPError, ObjectUnavailableError, ObjectPullError, ObjectPushError, NodeError) as fault:
        log.warning("a question of run %s is dropped: %s", envelope.metadata.run_id, fault)


def _own_up(fleet: Fleet, pending: Pending) -> None:
    """Answer with a code what an earlier process of this node was asked, and died over."""
    left = pending.left()
    if left is None:
        return
    try:
        envelope = unpack(left)
    except UNREADABLE:  # cut short by a disk that was full
        log.warning("the node died over a question that it has no note of")
        return
    log.warning("the node died over a question of run %s: it is answered with a code", envelope.metadata.run_id)
    be_task(run=envelope.metadata.run_id, node=fleet.node)
    with _dropped(envelope):
        _push(fleet, _coded(envelope, NodeError.code), seconds=0.0)


def _answer_one(
    fleet: Fleet,
    envelope: Message,
    tree: Any,
    answer: Answer,
    bundles: dict[int, str | FedCreditError],
    known_bundle: Callable[[str, bytes], None],
    refused: Refused,
) -> None:
    began, run = time.monotonic(), envelope.metadata.run_id
    be_task(run=run, node=fleet.node)
    try:
        if run not in bundles:
            bundles[run] = _bundle_of(fleet, run, known_bundle)
        bundle = bundles[run]
        if isinstance(bundle, FedCreditError):
            raise bundle.with_traceback(None)  # else each time would keep its message alive in the traceback
        reply = answer(Question(bundle, _pull(fleet, envelope, tree)))
    except FedCreditError as fault:
        log.warning("%s refused: %s", envelope.metadata.message_type, fault)
        reply = _coded(envelope, refused(envelope, fault))
    _push(fleet, reply, seconds=time.monotonic() - began)


def _coded(envelope: Message, code: str) -> Message:
    with _said():  # the envelope is the SuperLink's word too
        return Message(Error(CLIENT_APP_RAISED, code), reply_to=envelope)


def _bundle_of(fleet: Fleet, run: int, known_bundle: Callable[[str, bytes], None]) -> str | FedCreditError:
    """The bundle's hash, or why it is none of ours, which stays so; another fault is of this moment, and is raised."""
    with _said():
        digest = str(fleet.get_run(run).fab_hash)
        content = fleet.get_fab(digest, run).content
    try:
        known_bundle(digest, content)
    except BundleRefused as fault:
        return fault
    return digest


def _pull(fleet: Fleet, envelope: Message, tree: Any) -> Message:
    """The message with its content, within the size that a question may have."""
    run, key = envelope.metadata.run_id, envelope.metadata.message_id
    message = whole(envelope, tree, lambda piece: fleet.pull_object(run, piece), most_bytes=MAX_QUESTION_BYTES)
    with _said():
        fleet.confirm(run, key)
    about = message.metadata
    if not message.has_content() or (about.run_id, about.dst_node_id) != (run, fleet.node):
        raise NodeError("question", found="none, or one of another run or node", expected="one for this node")
    return message


def _push(fleet: Fleet, reply: Message, *, seconds: float) -> None:
    run = reply.metadata.run_id
    if reply.has_content() and is_packed(reply.content) and reply.metadata.dst_task_id is None:
        reply.content = alone(reply.content)  # the coordinator works out the rest
    with no_object_id_recompute():
        reply.metadata.__dict__["_message_id"] = reply.object_id
        tree = get_object_tree(reply)
        contents = {key: item.deflate() for key, item in get_all_nested_objects(reply).items()}
    spared = set(told_alone(message_to_proto(remove_content_from_message(reply)), tree))
    for left in reversed(range(SENDINGS)):
        try:
            with _said():
                wanted, session = fleet.send(reply, tree, seconds)
                pieces = [(key, content) for key, content in contents.items() if key in wanted and key not in spared]
                push_object_contents_from_iterable(pieces, partial(fleet.push_object, run, session))
        except ObjectPushError:
            # Where the gateway died between a request and its answer, the tunnel asked once more, and one upload
            # overtook the other. Sent anew, the SuperLink says which pieces it still lacks.
            if not left:
                raise
        else:
            return
