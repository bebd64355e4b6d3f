"""Flower's grid inside one process: messages reach a ClientApp by a call, so a round costs what its training costs.

A private name of flwr (pinned to one minor version) is used here. Others are in objects.py, pieces.py, replies.py,
questions.py, told.py and packing.py beside it, in node.py, connection.py and wire.py of clients, in superlink.py,
bundle.py and launch.py of server, and nowhere else.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

CLIENT_APP_RAISED = 2  # flwr's ErrorCode.CLIENT_APP_RAISED_EXCEPTION
_RUN_ID = 1


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


def _copy(content: RecordDict) -> RecordDict:
    """A content of its own: arrays hold immutable bytes, so new records around them are enough."""
    return RecordDict({name: type(record)(dict(record)) for name, record in content.items()})
