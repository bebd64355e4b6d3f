"""A SuperLink's grid becomes one that is used sparingly, and that no member's reply can stop.

Contents are packed, a message's id cannot be guessed, and replies are read by replies.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fedcredit.federation.packing import pack, packed_bytes
from fedcredit.federation.questions import Questions
from fedcredit.federation.replies import Replies

# A reply has the arrays of its question in it, in words that may be twice as wide, and what the masking protocol seals
# (2 MiB at most, messages.yaml), so it is no larger than four times the question.
TIMES_QUESTION = 4
# Flower hands a question out once. One that was lost on its way to a node is owed until it expires, by Flower's default
# half a day, and who owes an answer is not asked again: so it expires soon after nobody waits for it any more. A node
# reckons by its own clock what is left, and clocks that are five minutes apart are the most that Flower bears.
AFTER_THE_DEADLINE_SECONDS = 600.0
LEAST_REPLY_BYTES, MOST_REPLY_BYTES = 4 * 1024 * 1024, 256 * 1024 * 1024


class DeployedGrid(Grid):
    """flwr's HttpGrid around a run of its own, as the coordinator of a deployed run uses it.

    deadline_seconds: how long the coordinator waits for the answers to a question.
    """

    def __init__(self, grid: Any, *, deadline_seconds: float = 3600.0) -> None:
        self._ttl = deadline_seconds + AFTER_THE_DEADLINE_SECONDS
        self._grid = grid
        self._questions = Questions(grid._runtime_client, grid.node)
        self._replies = Replies(grid._runtime_client, grid.node)
        self._most_bytes = LEAST_REPLY_BYTES

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
        for message in list(messages):  # all alive at once, so that no content has the number of one that is gone
            content = packed.get(id(message.content))
            if content is None:
                content = packed[id(message.content)] = pack(message.content)
                most = min(TIMES_QUESTION * packed_bytes(content), MOST_REPLY_BYTES)
                self._most_bytes = max(self._most_bytes, most)
            about = message.metadata
            group = _unguessable(about.group_id)
            sent.append(Message(content, about.dst_node_id, about.message_type, group_id=group, ttl=self._ttl))
            # A SuperLink keeps no task's id: no reader could work out a message that has one (told.py).
            sent[-1].metadata.__dict__["_src_task_id"] = None
        able = frozenset(self._replies.alone)
        self._replies.alone -= {message.metadata.dst_node_id for message in sent}  # until it replies to this one
        return self._questions.push(sent, run=self._grid.run.run_id, spared=able)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies that have come whole; one whose content cannot be read is an error reply."""
        return self._replies.pull(list(message_ids), run=self._grid.run.run_id, most_bytes=self._most_bytes)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Not used: `Exchange` sends, and looks for replies at its own pace."""
        raise NotImplementedError


def _unguessable(group: str) -> str:
    """The group with a random end. A message's id is the hash of its metadata, and the SuperLink takes an answer from
    whoever knows the id: of a message to another node, nobody does.
    """
    return f"{group}-{secrets.token_hex(16)}"
