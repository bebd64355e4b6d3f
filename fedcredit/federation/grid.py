"""Flower's grid inside one process: messages reach a ClientApp by a call, so a round costs what its training costs.

Private names of flwr (pinned to one minor version) are used here and where clients/node.py says.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.app.message import make_message
from flwr.clientapp import ClientApp
from flwr.common.serde import metadata_from_proto
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree
from flwr.proto.message_pb2 import Metadata as ProtoMetadata
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_protobuf_utils import make_pull_object_fn_protobuf
from flwr.supercore.task_identity import TaskIdentity

from fedcredit.errors import ConfigError, NodeError
from fedcredit.federation.packing import pack, unpack
from fedcredit.federation.pieces import whole

log = logging.getLogger(__name__)

CLIENT_APP_RAISED = 2  # flwr's ErrorCode.CLIENT_APP_RAISED_EXCEPTION
_RUN_ID = 1
MAX_REPLY_BYTES = 192 * 1024 * 1024  # a masked vector has eight bytes for each of the model's four, and its shares


class InProcessGrid(Grid):
    """Runs `app` once for each message, in the order pushed; node k is the k-th entry of `node_configs`.

    Content is copied on the way in and on the way out, as a network would: a client cannot change what the server
    holds. An exception in the app becomes Flower's error reply, with its code and without its text.
    """

    def __init__(self, app: ClientApp, node_configs: Iterable[Mapping[str, str | int | float | bool]]) -> None:
        # Messages can only be built inside a task; this process is one.
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = _RUN_ID, 1, 1
        self._app = app
        self._contexts = {
            node: Context(_RUN_ID, node, node_config=dict(config), state=RecordDict(), run_config={})
            for node, config in enumerate(node_configs, start=1)
        }
        self._replies: dict[str, Message] = {}
        self._numbers = itertools.count(1)

    def set_run(self, run: Any) -> None:
        """Nothing to set: there is one run."""

    @property
    def run(self) -> Any:
        """Facts of a run that only a SuperLink has."""
        raise AttributeError("an in-process grid has no SuperLink run")

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """A message from the server to a node."""
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)

    def get_node_ids(self) -> list[int]:
        """The nodes, in the order they were given."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Run the app on each message; the replies wait to be pulled."""
        return [self._deliver(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """The replies to the given messages, each handed out once."""
        return [self._replies.pop(key) for key in message_ids if key in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Push, then pull: every reply is there at once."""
        return self.pull_messages(self.push_messages(messages))

    def _deliver(self, message: Message) -> str:
        key = f"message-{next(self._numbers)}"
        node = message.metadata.dst_node_id
        incoming = Message(
            _copy(message.content), node, message.metadata.message_type, group_id=message.metadata.group_id
        )
        incoming.metadata.__dict__["_message_id"] = key
        try:
            reply = self._app(incoming, self._contexts[node])
        except Exception:
            reply = Message(Error(CLIENT_APP_RAISED, "client-app-raised"), reply_to=incoming)
        if reply.has_content():
            reply.content = _copy(reply.content)
        self._replies[key] = reply
        return key


class DeployedGrid(Grid):
    """A SuperLink's grid, used sparingly, and without trust in what nodes upload: contents are packed, replies bounded.

    Flower's own waits a second, then two, when it asks while a reply is being uploaded; it believes a reply's own word
    on which message it answers; and one reply that is none, of one institution, ends the run of all.
    """

    def __init__(self, grid: Any) -> None:
        self._grid = grid
        self._client = grid._runtime_client

    def set_run(self, run: Any) -> None:
        """The run that this grid is for."""
        self._grid.set_run(run)

    @property
    def run(self) -> Any:
        """Facts of the run."""
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """A message from the server to a node."""
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)

    def get_node_ids(self) -> Iterable[int]:
        """The nodes that are online."""
        return self._grid.get_node_ids()

    def get_nodes(self) -> Iterable[Any]:
        """The nodes that are online, with their keys."""
        return self._grid.get_nodes()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send the messages, each with its content packed; messages that share a content share the packed one."""
        packed: dict[int, RecordDict] = {}
        sent = []
        for message in messages:
            content = packed.setdefault(id(message.content), pack(message.content))
            about = message.metadata
            sent.append(Message(content, about.dst_node_id, about.message_type, group_id=about.group_id, ttl=about.ttl))
        return self._grid.push_messages(sent)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies that have come; one that is none is an error reply."""
        found = self._client.PullMessages(PullAppMessagesRequest(message_ids=list(message_ids)))
        pairs = zip(found.messages_list, found.message_object_trees, strict=True)
        return [self._reply(envelope.metadata, tree) for envelope, tree in pairs]

    def _reply(self, about: ProtoMetadata, tree: ObjectTree) -> Message:
        """The reply that the SuperLink announced; `about` is what it vouches for itself."""
        try:
            reply = self._whole(about, tree)
        except (NodeError, ConfigError) as fault:
            log.warning("a reply of node %s: %s", about.src_node_id, fault)
            reply = make_message(metadata_from_proto(about), error=Error(CLIENT_APP_RAISED, fault.code))
        self._client.ConfirmMessageReceived(
            ConfirmMessageReceivedRequest(node=self._grid.node, run_id=about.run_id, message_object_id=about.message_id)
        )
        return reply

    def _whole(self, about: ProtoMetadata, tree: ObjectTree) -> Message:
        pull = make_pull_object_fn_protobuf(self._client.PullObject, self._grid.node, about.run_id)
        reply = whole(about.message_id, tree, pull, most_bytes=MAX_REPLY_BYTES)
        if reply.metadata.reply_to_message_id != about.reply_to_message_id:
            raise NodeError("reply", found="one to another message", expected="one to the node's own")
        if reply.has_content():
            reply.content = unpack(reply.content)
        return reply

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Not used: `Exchange` sends, and looks for replies at its own pace."""
        raise NotImplementedError


def _copy(content: RecordDict) -> RecordDict:
    """A content of its own: arrays hold immutable bytes, so new records around them are enough."""
    return RecordDict({name: type(record)(dict(record)) for name, record in content.items()})
