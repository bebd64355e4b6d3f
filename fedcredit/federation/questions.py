"""Messages to nodes become their pieces at a SuperLink: records first, and the rest for nodes that cannot work it out.

flwr's own grid sends every piece and fails where one is refused. A node that works out pieces (told.py) needs the
record only, and may have read the message before the rest is sent: then the SuperLink takes no more of it, and all is
well. Private names of flwr (pinned to one minor version) are used here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from flwr.app import Message
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import PushAppMessagesRequest
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_protobuf_utils import make_push_object_fn_protobuf
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError, push_objects

from fedcredit.federation.told import told

log = logging.getLogger(__name__)


class Questions:
    """One run's messages to nodes, by flwr's client of the SuperLink's runtime API."""

    def __init__(self, client: Any, node: Node) -> None:
        self._client, self._node = client, node

    def push(self, messages: Sequence[Message], *, run: int, spared: frozenset[int] = frozenset()) -> list[str]:
        """The ids of the messages; nodes in `spared` are sent the records only."""
        with no_object_id_recompute():
            for message in messages:
                message.metadata.__dict__["_message_id"] = message.object_id
            envelopes = [message_to_proto(remove_content_from_message(message)) for message in messages]
            trees = [get_object_tree(message) for message in messages]
            objects = {name: one for message in messages for name, one in get_all_nested_objects(message).items()}
        answer = self._client.PushMessages(PushAppMessagesRequest(messages_list=envelopes, message_object_trees=trees))
        wanted = set(answer.objects_to_push)
        rest: dict[str, bytes] = {}
        known: set[str] = set()
        for message, envelope, tree in zip(messages, envelopes, trees, strict=True):
            pieces = told(envelope, tree)
            known |= set(pieces)
            if message.metadata.dst_node_id not in spared:
                rest |= pieces
        push = make_push_object_fn_protobuf(
            self._client.PushObject, node=self._node, run_id=run, session_id=answer.session_id
        )
        push_objects(objects, push, object_ids_to_push=wanted - known)
        for name in rest:
            if name in wanted:
                try:
                    push(name, rest[name])
                except ObjectPushError:
                    log.debug("a message was read before it was sent whole")
        return list(answer.message_ids)
