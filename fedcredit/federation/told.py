"""A message's envelope becomes those of its pieces that it tells already, so that nobody need send or fetch them.

A packed message is three pieces: its metadata, which its envelope repeats; the name of its one record, which its tree
repeats; and that record. Only the record says anything new, and a piece that is neither sent nor fetched is two
requests less, of some 10 ms each. What is worked out here is a guess until its hash is the name of a piece.

A node works out what it can of every question. A reply is worked out only if its record has the name that says that it
comes alone: whoever sends all of a message, as Flower's own node does, must not find it read and gone before its end.
Private names of flwr are used here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import get_object_id

from fedcredit.federation.packing import ALONE, PACKED


def told(envelope: MessageProto, tree: ObjectTree, *, record: str = PACKED) -> dict[str, bytes]:
    """The pieces of the tree by name that envelope and tree tell, where the one record of the message has that name.

    A tree is a stranger's word, of any size: one of more than a content is no message, and tells nothing.
    """
    if len(tree.children) > 1:
        return {}
    guesses = {tree.object_id: _piece("Message", tree.children, _body(envelope))}
    for content in tree.children:
        if len(content.children) == 1:
            name = json.dumps({record: content.children[0].object_id}).encode()
            guesses[content.object_id] = _piece("RecordDict", content.children, name)
    return {name: guess for name, guess in guesses.items() if get_object_id(guess) == name}


def told_alone(envelope: MessageProto, tree: ObjectTree) -> dict[str, bytes]:
    """All pieces but the record of a reply whose record comes alone; nothing of another, which is sent whole."""
    found = told(envelope, tree, record=ALONE)
    return found if len(found) == 2 else {}


def _body(envelope: MessageProto) -> bytes:
    """A message without its content and its id, as flwr hashes it; a SuperLink keeps no task's id."""
    bare = MessageProto(metadata=envelope.metadata)
    for name in ("message_id", "src_task_id", "dst_task_id"):
        bare.metadata.ClearField(name)
    if envelope.HasField("error"):
        bare.error.CopyFrom(envelope.error)
    return bare.SerializeToString(deterministic=True)


def _piece(kind: str, made_of: Iterable[ObjectTree], body: bytes) -> bytes:
    return f"{kind} {','.join(child.object_id for child in made_of)} {len(body)}".encode() + b"\0" + body
