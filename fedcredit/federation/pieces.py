"""The pieces of a question at a SuperLink become the message: within limits, and each piece what its name says.

Flower believes whoever uploads: it fetches as much as there is, waits two hours for what is missing, and what is no
message raises deep inside of it. Here a node gets a message or a coded error. Private names of flwr are used here.
"""

from __future__ import annotations

from collections.abc import Callable

from flwr.app import Message
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError, pull_objects

from fedcredit.errors import NodeError, ReplyError
from fedcredit.federation.objects import check_piece, inflated, pieces_of
from fedcredit.federation.told import told

LONGEST_UPLOAD_SECONDS = 300.0
# Flower waits a second when a piece of a message is not uploaded yet: most of what a round took, and all its outliers.
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.02, 1.0


def whole(
    envelope: Message,
    tree: ObjectTree,
    pull: Callable[[str], bytes],
    *,
    most_bytes: int,
    seconds: float = LONGEST_UPLOAD_SECONDS,
) -> Message:
    """The message of this envelope, whose pieces are those of the tree; `pull` gives the bytes of one.

    Raises:
        NodeError: too many pieces, too many bytes, one that is missing or another than its name says, or no message.
    """
    left, key = most_bytes, envelope.metadata.message_id

    def pull_one(object_id: str) -> bytes:
        nonlocal left
        content = pull(object_id)
        left -= len(content)
        if left < 0:
            raise NodeError("message", found="a larger one", expected=f"at most {most_bytes} bytes")
        check_piece(object_id, content)
        return content

    try:
        contents = told(message_to_proto(envelope), tree)
        contents |= pull_objects(
            [name for name in pieces_of(tree) if name not in contents],
            pull_one,
            max_time=seconds,
            max_tries_per_object=None,
            initial_backoff=FIRST_WAIT_SECONDS,
            backoff_cap=LONGEST_WAIT_SECONDS,
        )
        message = inflated(key, contents, most_bytes=most_bytes)
    except ReplyError as fault:
        raise NodeError("message", found=fault.found, expected=fault.expected) from None
    except ObjectPullError as fault:
        raise NodeError("message", found=f"what is none ({type(fault).__name__})", expected="a message") from None
    message.metadata.__dict__["_message_id"] = key
    return message
