"""Replies that a SuperLink holds become messages, each on its own: what one member uploads is no concern of another.

flwr's own grid pulls one reply after the other, waits up to two hours for a piece that is not uploaded yet, and raises
where the pieces are no message: so one member could keep or end a study of all. Whose reply it is, and to what, is what
the SuperLink says, not what the uploaded message says of itself. Private names of flwr (pinned to one minor version)
are used here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flwr.app import Error, Message, Metadata
from flwr.app.message import make_message
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree, PullObjectRequest
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.supercore.constant import SYSTEM_MESSAGE_TYPE
from httpx import HTTPStatusError, codes

from fedcredit.errors import ConfigError, ReplyError
from fedcredit.federation.objects import check_piece, inflated, pieces_of
from fedcredit.federation.packing import unpack
from fedcredit.federation.told import told_alone

log = logging.getLogger(__name__)

CLIENT_APP_RAISED = 2  # flwr's ErrorCode.CLIENT_APP_RAISED_EXCEPTION
# A node sends its reply first and the pieces of it after: a new one is looked for again at once, for a while.
FIRST_WAIT_SECONDS, WAIT_GROWTH, SOON_SECONDS = 0.01, 1.5, 1.0
STANDSTILL_SECONDS = 30.0  # an upload of which no piece came for so long is given up
LONGEST_LOOK_SECONDS = 1.0  # at one reply, before the others have their turn: it may be of thousands of pieces


@dataclass
class _Upload:
    """A reply that the SuperLink announced, and what is here of it."""

    envelope: MessageProto
    tree: ObjectTree
    began: float
    moved: float
    contents: dict[str, bytes] = field(init=False)
    is_alone: bool = field(init=False)

    def __post_init__(self) -> None:
        self.contents = told_alone(self.envelope, self.tree)
        self.is_alone = bool(self.contents)


class Replies:
    """One run's replies, from flwr's client of the SuperLink's runtime API."""

    def __init__(self, client: Any, node: Node) -> None:
        self._client, self._node = client, node
        self._uploads: dict[str, _Upload] = {}  # by the message that is replied to
        self.alone: set[int] = set()  # nodes that work out a message, as their last reply showed

    def pull(self, message_ids: Sequence[str], *, run: int, most_bytes: int) -> list[Message]:
        """The replies that are whole, each once; one that cannot be read is an error reply with a code.

        A reply of which a piece is missing is kept: it is looked at again at the next call, and holds up no other.
        """
        self._announced([key for key in message_ids if key not in self._uploads])
        done: list[Message] = []
        wait = FIRST_WAIT_SECONDS
        while True:
            mine = {key: self._uploads[key] for key in message_ids if key in self._uploads}
            for key, upload in mine.items():
                reply = self._reply(upload, run=run, most_bytes=most_bytes)
                if reply is not None:
                    done.append(reply)
                    if upload.is_alone:
                        self.alone.add(upload.envelope.metadata.src_node_id)
                    self._uploads.pop(key)
            soon = time.monotonic() - SOON_SECONDS
            if not any(key in self._uploads and upload.began > soon for key, upload in mine.items()):
                return done
            time.sleep(wait)
            wait *= WAIT_GROWTH

    def _announced(self, message_ids: Sequence[str]) -> None:
        """Ask which of these have a reply. The SuperLink says it once, so it is kept here."""
        if not message_ids:
            return
        try:
            found = self._client.PullMessages(PullAppMessagesRequest(message_ids=message_ids))
        except (HTTPStatusError, ValueError) as fault:
            # What members uploaded can be more than it can put into an answer: it goes on without those replies.
            _raise_unless_uploaded(fault)
            log.warning("the SuperLink cannot hand out the replies (%s): looking again", type(fault).__name__)
            return
        now = time.monotonic()
        for envelope, tree in zip(found.messages_list, found.message_object_trees, strict=True):
            answers = envelope.metadata.reply_to_message_id
            if answers in message_ids and answers not in self._uploads:
                self._uploads[answers] = _Upload(envelope, tree, now, now)

    def _reply(self, upload: _Upload, *, run: int, most_bytes: int) -> Message | None:
        """The reply, or an error reply in its place; None while a piece is missing."""
        about = upload.envelope.metadata
        try:
            if not self._is_whole(upload, run=run, most_bytes=most_bytes):
                return None
            said = inflated(about.message_id, upload.contents, most_bytes=most_bytes)
            content, error = (unpack(said.content), None) if said.has_content() else (None, said.error)
        except (ReplyError, ConfigError) as fault:
            log.warning("a reply of node %s is not read: %s", about.src_node_id, fault)
            content, error = None, Error(CLIENT_APP_RAISED, ReplyError.code)
        self._confirm(about.message_id, run=run)
        metadata = Metadata(
            run_id=run,
            message_id=about.message_id,
            src_node_id=about.src_node_id,
            dst_node_id=about.dst_node_id,
            reply_to_message_id=about.reply_to_message_id,
            group_id=about.group_id,
            created_at=about.created_at,
            ttl=about.ttl,
            message_type=_type_of(upload.envelope),
        )
        return make_message(metadata, content, error)

    def _is_whole(self, upload: _Upload, *, run: int, most_bytes: int) -> bool:
        """Pull what is missing, up to the first piece that is not there yet, for no longer than a look may take."""
        over = time.monotonic() + LONGEST_LOOK_SECONDS
        left = most_bytes - sum(map(len, upload.contents.values()))
        for name in pieces_of(upload.tree):
            if name in upload.contents:
                continue
            if time.monotonic() > over:
                return False
            found = self._pulled(name, run=run)
            if not found.object_found:
                raise ReplyError("reply", found="an upload that was broken off", expected="all its pieces")
            if not found.object_available:
                if time.monotonic() - upload.moved > STANDSTILL_SECONDS:
                    raise ReplyError("reply", found="an upload that stands still", expected="all its pieces")
                return False
            left -= len(found.object_content)
            if left < 0:
                raise ReplyError("reply", found="a larger one", expected=f"at most {most_bytes} bytes")
            check_piece(name, found.object_content)
            upload.contents[name], upload.moved = found.object_content, time.monotonic()
        return True

    def _pulled(self, name: str, *, run: int) -> Any:
        try:
            return self._client.PullObject(PullObjectRequest(node=self._node, run_id=run, object_id=name))
        except (HTTPStatusError, ValueError) as fault:
            _raise_unless_uploaded(fault)
            raise ReplyError("reply", found="a piece that cannot be had", expected="all its pieces") from None

    def _confirm(self, message_id: str, *, run: int) -> None:
        """Let the SuperLink delete the reply's pieces."""
        request = ConfirmMessageReceivedRequest(node=self._node, run_id=run, message_object_id=message_id)
        try:
            self._client.ConfirmMessageReceived(request)
        except HTTPStatusError as fault:
            _raise_unless_uploaded(fault)
            log.warning("the SuperLink keeps a reply that was read")


def _raise_unless_uploaded(fault: HTTPStatusError | ValueError) -> None:
    """Raise again what is not about one answer of the SuperLink: the run is over, or this coordinator is shut out."""
    if isinstance(fault, HTTPStatusError):
        code = fault.response.status_code
        if code < codes.INTERNAL_SERVER_ERROR and code != codes.REQUEST_ENTITY_TOO_LARGE:
            raise fault


def _type_of(envelope: MessageProto) -> str:
    try:
        Metadata(1, "", 1, 1, "", "", 0.0, 0.0, envelope.metadata.message_type)
    except ValueError:
        return SYSTEM_MESSAGE_TYPE
    return str(envelope.metadata.message_type)
