"""The pieces of a message at a SuperLink become the message: within limits, and each piece what its name says.

Flower believes whoever uploads: it fetches as much as there is, waits two hours for what is missing, and what is no
message raises deep inside of it. Here both sides get a message or a coded error. Private names of flwr are used here.
"""

from __future__ import annotations

from collections.abc import Callable

from flwr.app import Message
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import get_object_id, iterate_object_tree
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError, pull_objects

from fedcredit.errors import NodeError, ReplyError
from fedcredit.federation.objects import inflated

MAX_PIECES = 4096  # of one message: its records, arrays and their chunks
LONGEST_UPLOAD_SECONDS = 300.0
# Flower waits a second when a piece of a message is not uploaded yet: most of what a round took, and all its outliers.
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.02, 1.0


def whole(
    key: str,
    tree: ObjectTree,
    pull: Callable[[str], bytes],
    *,
    most_bytes: int,
    seconds: float = LONGEST_UPLOAD_SECONDS,
) -> Message:
    """The message of this name, whose pieces are those of the tree; `pull` gives the bytes of one.

    Raises:
        NodeError: too many pieces, too many bytes, one that is missing or another than its name says, or no message.
    """
    wanted = [item.object_id for item in iterate_object_tree(tree)]
    if len(wanted) > MAX_PIECES:
        raise NodeError("message", found=f"{len(wanted)} pieces", expected=f"at most {MAX_PIECES}")
    left = most_bytes

    def pull_one(object_id: str) -> bytes:
        nonlocal left
        content = pull(object_id)
        left -= len(content)
        if left < 0:
            raise NodeError("message", found="a larger one", expected=f"at most {most_bytes} bytes")
        # Its name is its hash: so a message that comes again under another name is another message.
        if get_object_id(content) != object_id:
            raise NodeError("message", found="a piece that is not what its name says", expected="the hash of it")
        return content

    try:
        contents = pull_objects(
            wanted,
            pull_one,
            max_time=seconds,
            max_tries_per_object=None,
            initial_backoff=FIRST_WAIT_SECONDS,
            backoff_cap=LONGEST_WAIT_SECONDS,
        )
        message = inflated(key, contents, most_bytes=most_bytes)
    except ObjectPullError:
        raise NodeError("message", found="a piece that cannot be had", expected="all of them") from None
    except ReplyError as fault:
        raise NodeError("message", found=fault.found, expected=fault.expected) from None
    message.metadata.__dict__["_message_id"] = key
    return message
