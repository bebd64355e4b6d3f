"""A SuperLink's runtime API with members that upload what they like: real protobufs, no network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.app.message.message import remove_content_from_message
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.message_pb2 import ObjectTree, PullObjectResponse, PushObjectResponse
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import PullAppMessagesResponse, PushAppMessagesResponse
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_id,
    get_object_tree,
    iterate_object_tree,
)

from fedcredit.federation.deployed_grid import DeployedGrid
from fedcredit.federation.packing import PACKED, unpack

RUN = 7


def piece(kind: str, children: list[str], body: bytes) -> bytes:
    """Bytes in the form of a flwr object."""
    return f"{kind} {','.join(children)} {len(body)}".encode() + b"\0" + body


class SuperLink:
    """What a coordinator asks flwr's HttpGrid and its client for; `requests` counts what it cost."""

    def __init__(self) -> None:
        self._runtime_client, self.node, self.run = self, Node(node_id=1), SimpleNamespace(run_id=RUN)
        self.sent: dict[str, Message] = {}
        self.trees: dict[str, ObjectTree] = {}
        self.taken: dict[str, bytes] = {}
        self.requests: Counter[str] = Counter()
        self.objects: dict[str, bytes | None] = {}  # None: announced, and not uploaded
        self.held: list[tuple[MessageProto, ObjectTree]] = []
        self.broken = False
        self.refused: set[str] = set()  # kinds of pieces

    def PushMessages(self, request: Any) -> PushAppMessagesResponse:  # noqa: N802 - flwr's name
        self.requests["PushMessages"] += 1
        keys = [envelope.metadata.message_id for envelope in request.messages_list]
        self.sent |= dict(zip(keys, map(message_from_proto, request.messages_list), strict=True))
        self.trees |= dict(zip(keys, request.message_object_trees, strict=True))
        wanted = [one.object_id for tree in request.message_object_trees for one in iterate_object_tree(tree)]
        return PushAppMessagesResponse(message_ids=keys, objects_to_push=dict.fromkeys(wanted), session_id="s")

    def PushObject(self, request: Any) -> PushObjectResponse:  # noqa: N802 - flwr's name
        kind = request.object_content.partition(b" ")[0].decode()
        self.requests[f"PushObject {kind}"] += 1
        self.taken[request.object_id] = request.object_content
        return PushObjectResponse(stored=kind not in self.refused)

    def asked(self, key: str) -> RecordDict:
        """What the packed question says, by the pieces that came."""
        (record,) = self.trees[key].children[0].children
        return unpack(RecordDict({PACKED: ConfigRecord.inflate(self.taken[record.object_id])}))

    def answer(self, key: str, content: RecordDict | None = None, *, lacks: str = "", **said: Any) -> list[str]:
        """An honest node's reply; without the pieces of the kind `lacks`, and saying of itself what is `said`."""
        reply = Message(content or RecordDict({}), reply_to=self.sent[key])
        envelope = message_to_proto(remove_content_from_message(reply))
        for name, value in said.items():
            reply.metadata.__dict__[f"_{name}"] = value
        objects = {name: item.deflate() for name, item in get_all_nested_objects(reply).items()}
        return self.hold(envelope, get_object_tree(reply), objects, lacks=lacks)

    def upload(self, key: str, *contents: bytes, tree: ObjectTree | None = None) -> list[str]:
        """A malicious node's reply: the last of the contents is its root."""
        envelope = message_to_proto(Message(RecordDict({}), reply_to=self.sent[key]))
        names = [get_object_id(content) for content in contents]
        made = tree or ObjectTree(object_id=names[-1], children=[ObjectTree(object_id=name) for name in names[:-1]])
        return self.hold(envelope, made, dict(zip(names, contents, strict=True)))

    def hold(
        self, envelope: MessageProto, tree: ObjectTree, objects: Mapping[str, bytes], *, lacks: str = ""
    ) -> list[str]:
        """Announce it; gives the names of the pieces that are not there yet."""
        envelope.metadata.message_id = tree.object_id
        self.held.append((envelope, tree))
        missing = [name for name, content in objects.items() if lacks and content.startswith(lacks.encode())]
        self.objects |= {name: None if name in missing else content for name, content in objects.items()}
        return missing

    def PullMessages(self, request: Any) -> PullAppMessagesResponse:  # noqa: N802 - flwr's name
        self.requests["PullMessages"] += 1
        if self.broken:
            raise refusal(500)
        found = [one for one in self.held if one[0].metadata.reply_to_message_id in request.message_ids]
        self.held = [one for one in self.held if one not in found]
        return PullAppMessagesResponse(
            messages_list=[envelope for envelope, _ in found], message_object_trees=[tree for _, tree in found]
        )

    def PullObject(self, request: Any) -> PullObjectResponse:  # noqa: N802 - flwr's name
        self.requests["PullObject"] += 1
        assert request.run_id == RUN
        if request.object_id not in self.objects:
            return PullObjectResponse(object_found=False)
        content = self.objects[request.object_id] or b""
        return PullObjectResponse(object_found=True, object_available=content != b"", object_content=content)

    def ConfirmMessageReceived(self, request: Any) -> None:  # noqa: N802 - flwr's name
        self.requests["ConfirmMessageReceived"] += 1
        self.objects.pop(request.message_object_id, None)


def refusal(code: int) -> httpx.HTTPStatusError:
    """What flwr's client raises for an answer with this status."""
    request = httpx.Request("POST", "http://superlink")
    return httpx.HTTPStatusError("refused", request=request, response=httpx.Response(code, request=request))


def asking(link: SuperLink, question: Callable[[int], Message], *, nodes: int = 3) -> tuple[DeployedGrid, list[str]]:
    """A coordinator's grid on it that has asked each node."""
    grid = DeployedGrid(link)
    return grid, list(grid.push_messages([question(node) for node in range(11, 11 + nodes)]))


CONTENT = RecordDict({"config": ConfigRecord({"k": 1}), "arrays": ArrayRecord({"w": Array(np.zeros(4, np.float32))})})


def question(node: int) -> Message:
    """What a coordinator asks a node."""
    return Message(RecordDict({"config": ConfigRecord({"round": 1})}), node, "train")


def pulled(grid: DeployedGrid, keys: list[str]) -> dict[str, Message]:
    """The replies that are there, by the message that they answer."""
    return {reply.metadata.reply_to_message_id: reply for reply in grid.pull_messages(keys)}
