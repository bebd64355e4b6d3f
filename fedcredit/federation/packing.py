"""A message's records become one, so that a SuperLink stores and hands out three pieces of it and not twenty.

Flower keeps every record, array and chunk of an array as an object of its own, each pushed and pulled by a request, and
a request costs the SuperLink some 10 ms of its one core: for a model of six arrays that is most of a round. Nothing
else changes: what is packed is what `flwr` itself would send. A private name of flwr is used here.
"""

from __future__ import annotations

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp.typing import ClientAppCallable
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto
from google.protobuf.message import DecodeError

from fedcredit.errors import ConfigError

PACKED = "packed"
ALONE = "alone"  # the name of the record in a packed reply of which nothing else is sent: see told.py
MOST_PACKED_BYTES = 4 * 1024 * 1024  # Flower cuts a larger array into pieces of 5 MiB, and the gateway takes no more


def pack(content: RecordDict) -> RecordDict:
    """The content as one record; a large one stays as it is, since Flower sends its arrays in pieces.

    >>> unpack(pack(RecordDict({"config": ConfigRecord({"a": 1})})))["config"]["a"]
    1
    """
    data = recorddict_to_proto(content).SerializeToString()
    if len(data) > MOST_PACKED_BYTES:
        return content
    return RecordDict({PACKED: ConfigRecord({PACKED: data})})


def unpack(content: RecordDict) -> RecordDict:
    """The content that was packed; one that was not is given back.

    Raises:
        ConfigError: what is packed is no content.
    """
    record = content.get(PACKED, content.get(ALONE))
    if not isinstance(record, ConfigRecord):
        return content
    data = record.get(PACKED)
    fault = ConfigError("message", found="a packed content that is none", expected="flwr records")
    if not isinstance(data, bytes) or len(content) > 1 or len(record) > 1:
        raise fault
    try:
        return recorddict_from_proto(RecordDictProto.FromString(data))
    except (DecodeError, TypeError, ValueError, LookupError, AttributeError):
        raise fault from None


def alone(content: RecordDict) -> RecordDict:
    """A packed content whose record will be sent alone."""
    return RecordDict({ALONE: content[PACKED]})


def is_packed(content: RecordDict) -> bool:
    """Whether the content is one packed record."""
    return PACKED in content


def packed_bytes(content: RecordDict) -> int:
    """How large a packed content is, or would be if it were not too large to be packed."""
    data = content[PACKED].get(PACKED) if is_packed(content) else None
    return len(data) if isinstance(data, bytes) else recorddict_to_proto(content).ByteSize()


def packed_mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Flower's way to wrap a ClientApp: a question that came packed is answered packed."""
    was_packed = message.has_content() and is_packed(message.content)
    if was_packed:
        message.content = unpack(message.content)
    reply = call_next(message, context)
    if was_packed and reply.has_content():
        reply.content = pack(reply.content)
    return reply
