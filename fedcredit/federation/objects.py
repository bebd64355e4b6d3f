"""The pieces of a message that a stranger uploaded become the message, or a refusal that holds none of their words.

flwr trusts whoever uploads: an array may name one piece a million times, or an array where a piece belongs, and bytes
that are no objects end in half a dozen kinds of exception. Private names of flwr are used here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice

from flwr.app import Message
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import (
    get_object_head_values_from_object_content,
    get_object_id,
    iterate_object_tree,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from google.protobuf.message import DecodeError

from fedcredit.errors import ReplyError

MOST_OBJECTS = 4096  # of one message: its records, arrays and their pieces
MOST_NAMES_BYTES = 1024 * 1024  # of the names in one record: 4096 of a hash and some hundred letters
# What flwr raises, and json and protobuf below it, where bytes are no objects of a message.
NO_OBJECTS = (DecodeError, LookupError, TypeError, ValueError, AttributeError, RecursionError)
_RECORDS = frozenset({"ArrayRecord", "ConfigRecord", "MetricRecord"})
_MAY_HOLD: Mapping[str, frozenset[str]] = {
    "Message": frozenset({"RecordDict"}),
    "RecordDict": _RECORDS,
    "ArrayRecord": frozenset({"Array"}),
    "Array": frozenset({"ArrayChunk"}),
}
_NAMES = ("RecordDict", "ArrayRecord", "Array")  # their bodies are JSON


def pieces_of(tree: ObjectTree) -> list[str]:
    """The name of each piece once, those that others are made of first.

    Raises:
        ReplyError: there are more than a message has.
    """
    wanted = [item.object_id for item in islice(iterate_object_tree(tree), MOST_OBJECTS + 1)]
    if len(wanted) > MOST_OBJECTS:
        raise ReplyError("reply", found="more pieces", expected=f"at most {MOST_OBJECTS}")
    return list(dict.fromkeys(wanted))


def check_piece(name: str, content: bytes) -> None:
    """A piece is what its name says: its name is its hash.

    Raises:
        ReplyError: it is another.
    """
    if get_object_id(content) != name:
        raise ReplyError("reply", found="a piece that is not what its name says", expected="the hash of it")


def inflated(root: str, contents: Mapping[str, bytes], *, most_bytes: int) -> Message:
    """The message whose root piece has this name; its metadata are the uploader's words.

    Raises:
        ReplyError: the pieces are no message, or would be more than `most_bytes` of arrays.
    """
    try:
        _check_kinds(contents, most_bytes=most_bytes)
        message = inflate_object_from_contents(root, dict(contents))
    except NO_OBJECTS as fault:
        raise ReplyError("reply", found=f"no message ({type(fault).__name__})", expected="one") from None
    if not isinstance(message, Message) or message.has_content() == message.has_error():
        raise ReplyError("reply", found=f"a {type(message).__name__}", expected="a message with content or an error")
    return message


def _check_kinds(contents: Mapping[str, bytes], *, most_bytes: int) -> None:
    """Each piece is made of what its kind is made of, and arrays are no larger than what was uploaded may be."""
    heads = {name: get_object_head_values_from_object_content(content) for name, content in contents.items()}
    left = most_bytes
    for name, (kind, made_of, _) in heads.items():
        body = contents[name][contents[name].index(b"\0") + 1 :]
        if kind in _NAMES and len(body) > MOST_NAMES_BYTES:
            raise ReplyError("reply", found="more names", expected=f"at most {MOST_NAMES_BYTES} bytes of them")
        if not {heads[child][0] for child in made_of} <= _MAY_HOLD.get(kind, frozenset()):
            raise ReplyError("reply", found="a piece of another kind", expected="records, arrays and their pieces")
        if kind == "Array":
            left -= sum(len(contents[made_of[number]]) for number in json.loads(body)["arraychunk_ids"])
            if left < 0:
                raise ReplyError("reply", found="larger arrays", expected=f"at most {most_bytes} bytes")
