"""A message becomes bytes for the pipe between node and worker, and bytes a message.

Private names of flwr are used here; where else, fedcredit/federation/grid.py says.
"""

from __future__ import annotations

from flwr.app import Message
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.supercore.task_identity import TaskIdentity


def pack(message: Message) -> bytes:
    """A message with its content as bytes, for the pipe to the worker."""
    return message_to_proto(message).SerializeToString()


def unpack(data: bytes) -> Message:
    """The message in `data`."""
    return message_from_proto(MessageProto.FromString(data))


def be_task(*, run: int, node: int) -> None:
    """Let this process build messages: flwr ties every new one to a task."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = run, node, 1
