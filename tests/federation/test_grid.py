"""The in-process grid behaves like a network: what is handed over is a copy, and a crash is a code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fedcredit.federation.grid import InProcessGrid

CONFIGS = [{"institution": "a"}, {"institution": "b"}]


def app_of(handler: Callable[[Message, Context], Message]) -> ClientApp:
    app = ClientApp()
    app.train()(handler)
    return app


def message(node: int = 1) -> Message:
    arrays = ArrayRecord({"w": Array(np.zeros(2, np.float32))})
    return Message(RecordDict({"arrays": arrays, "config": ConfigRecord({"k": 1})}), node, "train")


def test_a_reply_is_handed_out_once_and_refers_to_its_message() -> None:
    grid = InProcessGrid(app_of(lambda msg, ctx: Message(RecordDict({}), reply_to=msg)), CONFIGS)
    keys = grid.push_messages([message(1), message(2)])
    replies = grid.pull_messages(keys)
    assert [reply.metadata.reply_to_message_id for reply in replies] == keys
    assert [reply.metadata.src_node_id for reply in replies] == [1, 2]
    assert grid.pull_messages(keys) == []


def test_each_node_sees_its_own_configuration() -> None:
    seen: list[object] = []

    def handler(msg: Message, ctx: Context) -> Message:
        seen.append(ctx.node_config["institution"])
        return Message(RecordDict({}), reply_to=msg)

    grid = InProcessGrid(app_of(handler), CONFIGS)
    grid.push_messages([message(2), message(1)])
    assert seen == ["b", "a"]


def test_a_client_cannot_change_what_the_server_holds() -> None:
    def handler(msg: Message, ctx: Context) -> Message:
        msg.content["arrays"]["w"] = Array(np.ones(2, np.float32))
        msg.content["config"]["k"] = 2
        del msg.content["config"]
        return Message(RecordDict({}), reply_to=msg)

    sent = message()
    InProcessGrid(app_of(handler), CONFIGS).push_messages([sent])
    assert sent.content["config"]["k"] == 1
    np.testing.assert_array_equal(sent.content["arrays"]["w"].numpy(), [0.0, 0.0])


def test_a_client_cannot_change_a_reply_after_it_has_been_sent() -> None:
    kept: list[RecordDict] = []

    def handler(msg: Message, ctx: Context) -> Message:
        kept.append(RecordDict({"config": ConfigRecord({"k": 1})}))
        return Message(kept[0], reply_to=msg)

    grid = InProcessGrid(app_of(handler), CONFIGS)
    keys = grid.push_messages([message()])
    kept[0]["config"]["k"] = 2
    assert grid.pull_messages(keys)[0].content["config"]["k"] == 1


def test_an_exception_becomes_an_error_reply_without_its_text() -> None:
    def handler(msg: Message, ctx: Context) -> Message:
        raise RuntimeError("company 4403")

    (reply,) = InProcessGrid(app_of(handler), CONFIGS).send_and_receive([message()])
    assert reply.has_error()
    assert (reply.error.code, reply.error.reason) == (2, "client-app-raised")


def test_ctrl_c_is_not_an_error_reply() -> None:
    def handler(msg: Message, ctx: Context) -> Message:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        InProcessGrid(app_of(handler), CONFIGS).push_messages([message()])
