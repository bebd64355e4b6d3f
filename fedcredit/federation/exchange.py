"""Messages to named institutions become their replies within a deadline; who is late sits out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from flwr.app import Message
from flwr.serverapp import Grid

EARLIEST_LOOK = 0.5  # of the time that the same message took before: a first time is often twice as long


class Exchange:
    """One run's way to its institutions: `names` says whose node each is.

    An institution that misses a deadline is not asked again until its late reply has come in; that reply is thrown
    away.
    """

    def __init__(self, grid: Grid, names: Mapping[int, str], *, deadline_seconds: float, poll_seconds: float) -> None:
        self.names = dict(names)
        self._grid, self._deadline, self._poll = grid, deadline_seconds, poll_seconds
        self._late: dict[str, int] = {}
        self._took: dict[str, float] = {}  # by type of message, the last time that all replied

    def send(self, messages: Sequence[Message]) -> tuple[dict[str, Message], list[str]]:
        """Replies by institution, and the names of those that missed the deadline."""
        pushed = list(self._grid.push_messages(messages))
        waiting = {key: message.metadata.dst_node_id for key, message in zip(pushed, messages, strict=True)}
        began = time.monotonic()
        give_up = began + self._deadline
        replies: dict[str, Message] = {}
        kind = messages[0].metadata.message_type if messages else ""
        # A look costs a SuperLink as much as a piece of a model: none before replies can be there.
        time.sleep(min(EARLIEST_LOOK * self._took.get(kind, 0.0), self._deadline))
        while waiting:
            for reply in self._grid.pull_messages(list(waiting)):
                # Not src_node_id: an error for a dead node comes from the SuperLink.
                node = waiting.pop(reply.metadata.reply_to_message_id, None)
                if node is not None:  # a second reply to one message counts for nothing
                    replies[self.names[node]] = reply
            if not waiting or time.monotonic() > give_up:
                break
            time.sleep(self._poll)
        if not waiting:
            self._took[kind] = time.monotonic() - began
        self._late.update(waiting)
        return replies, sorted(self.names[node] for node in waiting.values())

    def free(self) -> list[int]:
        """The nodes that owe no reply; a late reply that has come in meanwhile is thrown away."""
        if self._late:
            for reply in self._grid.pull_messages(list(self._late)):
                self._late.pop(reply.metadata.reply_to_message_id, None)
        late = set(self._late.values())
        return [node for node in self.names if node not in late]
