"""A message's envelope becomes those of its pieces that it tells already, so that nobody need fetch them.

A packed message is three pieces: its metadata, which its envelope repeats; the name of its one record, which its tree
repeats; and that record. Only the record says anything new, and a piece that is not fetched is a request less of some
10 ms. What is worked out here is a guess until its hash is the name of a piece. Private names of flwr are used here.
"""

from __future__ import annotations

import json

from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import get_object_id

from fedcredit.federation.packing import PACKED


def told(envelope: MessageProto, tree: ObjectTree) -> dict[str, bytes]:
    """The pieces of the tree by name that the envelope and the tree tell: right, or not among them."""
    contents = [child.object_id for child in tree.children]
    guesses = {tree.object_id: _piece("Message", contents, _body(envelope))}
    for content in tree.children:
        records = [child.object_id for child in content.children]
        if len(records) == 1:
            guesses[content.object_id] = _piece("RecordDict", records, json.dumps({PACKED: records[0]}).encode())
    return {name: guess for name, guess in guesses.items() if get_object_id(guess) == name}


def _body(envelope: MessageProto) -> bytes:
    """A message without its content and its id, as flwr hashes it."""
    bare = MessageProto(metadata=envelope.metadata)
    bare.metadata.message_id = ""
    if envelope.HasField("error"):
        bare.error.CopyFrom(envelope.error)
    return bare.SerializeToString(deterministic=True)


def _piece(kind: str, made_of: list[str], body: bytes) -> bytes:
    return f"{kind} {','.join(made_of)} {len(body)}".encode() + b"\0" + body
