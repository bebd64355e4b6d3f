"""Institutions are gathered within a bounded time, and only if they fit together."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict

from clients.app import app
from fedcredit.data.windows import save
from fedcredit.errors import FederationError
from fedcredit.federation.cohort import NODE_UNAVAILABLE, Member, Register, gather
from fedcredit.federation.grid import InProcessGrid
from tests.conftest import Nodes, make_windows
from tests.federation.conftest import make_task
from tests.federation.misbehaving import Misbehaving, grid_of, raises

MakeNodes = Callable[..., Nodes]


def gathered(grid: InProcessGrid, *, quorum: int = 3) -> list[Member]:
    return gather(grid, make_task(), quorum=quorum, wait_seconds=0.02, poll_seconds=0.001)


def answering(**facts: Any) -> Callable[[Message, Message], Message]:
    def answer(message: Message, reply: Message) -> Message:
        record = {**dict(reply.content["config"]), **facts}
        kept = {key: value for key, value in record.items() if value is not None}
        return Message(RecordDict({"config": ConfigRecord(kept)}), reply_to=message)

    return answer


def test_members_come_back_sorted_by_name_with_the_companies_they_train_on(nodes: MakeNodes) -> None:
    banks = nodes(3)
    members = gathered(InProcessGrid(app, banks.configs[::-1]))
    assert [(member.institution, member.node, member.companies) for member in members] == [
        ("bank-0", 3, 60),
        ("bank-1", 2, 80),
        ("bank-2", 1, 100),
    ]


def test_a_description_tells_nothing_about_a_company(nodes: MakeNodes) -> None:
    seen: list[Message] = []

    def watch(message: Message, reply: Message) -> Message:
        seen.append(reply)
        return reply

    gathered(grid_of(nodes(3), {"bank-0": watch}, kind="query.describe"))
    assert set(seen[0].content["config"]) == {"institution", "schema-sha256", "label-definition", "companies", "rows"}


def test_the_wait_for_nodes_ends(nodes: MakeNodes) -> None:
    started = time.monotonic()
    with pytest.raises(FederationError, match="found 0 connected, expected at least the quorum of 3"):
        gathered(InProcessGrid(app, []))
    assert time.monotonic() - started < 20.0  # Flower's own loop would wait for ever; a busy machine pauses


class _Silent(InProcessGrid):
    def pull_messages(self, message_ids: Any) -> list[Message]:
        return [reply for reply in super().pull_messages(message_ids) if reply.metadata.src_node_id != 2]


def test_a_node_that_never_answers_is_waited_for_no_longer_than_said(nodes: MakeNodes) -> None:
    grid = _Silent(app, nodes(3).configs)
    with pytest.raises(FederationError, match="found 2 that said who they are, expected at least the quorum of 3"):
        gathered(grid)
    assert [member.institution for member in gathered(grid, quorum=2)] == ["bank-0", "bank-2"]


class _Astray(InProcessGrid):
    def pull_messages(self, message_ids: Any) -> list[Message]:
        replies = super().pull_messages(message_ids)
        for reply in [one for one in replies if one.metadata.src_node_id == 2]:
            reply.metadata.__dict__["_reply_to_message_id"] = "nothing-that-was-asked"
        return [*replies, *replies]


def test_reply_to_nothing_that_was_asked_and_a_second_one_count_for_nothing(nodes: MakeNodes) -> None:
    assert [member.institution for member in gathered(_Astray(app, nodes(3).configs), quorum=2)] == ["bank-0", "bank-2"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (raises, "error-2"),
        (answering(companies="many"), "another-form"),
        (answering(companies=True), "another-form"),
        (answering(institution=7), "another-form"),
        (answering(institution=None), "another-form"),
        (lambda message, reply: Message(RecordDict({}), reply_to=message), "another-form"),
    ],
)
def test_one_node_that_answers_badly_is_left_out_and_named_by_a_code(
    answer: Callable[[Message, Message], Message], code: str, nodes: MakeNodes
) -> None:
    grid = grid_of(nodes(3), {"bank-1": answer}, kind="query.describe")
    assert [member.institution for member in gathered(grid, quorum=2)] == ["bank-0", "bank-2"]
    with pytest.raises(FederationError, match=rf"found 2 that said who they are \(node 2: {code}\)") as caught:
        gathered(grid, quorum=3)
    assert "91330100MA27" not in str(caught.value)


def test_a_node_whose_table_cannot_be_read_says_so_by_a_code(nodes: MakeNodes) -> None:
    banks = nodes(3)
    banks.configs[2]["windows"] = banks.configs[2]["windows"] + ".gone"
    with pytest.raises(FederationError, match=r"node 3: error-table"):
        gathered(InProcessGrid(app, banks.configs))


def test_two_nodes_of_one_name_are_refused(nodes: MakeNodes) -> None:
    banks = nodes(3)
    banks.configs[2]["institution"] = "bank-0"
    with pytest.raises(FederationError, match="found bank-0 more than once"):
        gathered(InProcessGrid(app, banks.configs))


def test_institutions_whose_label_definitions_differ_are_refused(nodes: MakeNodes) -> None:
    banks = nodes(3)
    banks.configs[1]["label-definition"] = "charge-off"
    with pytest.raises(FederationError, match="2 different values of label_definition"):
        gathered(InProcessGrid(app, banks.configs))


def test_institutions_whose_schemas_differ_are_refused(nodes: MakeNodes, tmp_path: Any) -> None:
    banks = nodes(3)
    save(replace(make_windows("bank-1"), schema_sha256="t" * 64), tmp_path / "other.npz")
    banks.configs[1]["windows"] = str(tmp_path / "other.npz")
    with pytest.raises(FederationError, match="2 different values of schema_sha256"):
        gathered(InProcessGrid(app, banks.configs))


def test_a_name_of_a_million_letters_is_cut(nodes: MakeNodes) -> None:
    grid = grid_of(nodes(3), {"bank-1": answering(institution="x" * 1_000_000)}, kind="query.describe")
    assert max(len(member.institution) for member in gathered(grid)) == 200


# A register of whose node each key is.


@dataclass(frozen=True)
class Info:
    """What a SuperLink says of a node."""

    node_id: int
    public_key: bytes


class Keyed(InProcessGrid):
    """A grid that knows its nodes' keys, as a SuperLink's does."""

    keys: Mapping[int, bytes]
    asked: list[int]

    def get_nodes(self) -> list[Info]:
        return [Info(node, key) for node, key in self.keys.items()]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        sent = list(messages)
        self.asked += [message.metadata.dst_node_id for message in sent]
        return super().push_messages(sent)


def keyed(banks: Nodes, keys: Mapping[int, bytes]) -> Keyed:
    grid = Keyed(app, banks.configs)
    grid.keys, grid.asked = keys, []
    return grid


REGISTER = Register(
    {base64.b64encode(key).decode(): name for key, name in ((b"k0", "bank-0"), (b"k1", "bank-1"), (b"k2", "bank-2"))},
    settle_seconds=0.01,
)


def registered(grid: InProcessGrid, *, quorum: int) -> list[str]:
    found = gather(grid, make_task(), quorum=quorum, wait_seconds=0.05, poll_seconds=0.001, register=REGISTER)
    return [member.institution for member in found]


def test_institutions_are_heard_under_the_names_of_their_keys(nodes: MakeNodes) -> None:
    assert registered(keyed(nodes(3), {1: b"k0", 2: b"k1", 3: b"k2"}), quorum=3) == ["bank-0", "bank-1", "bank-2"]


def test_a_node_that_says_another_institutions_name_is_not_heard(
    nodes: MakeNodes, caplog: pytest.LogCaptureFixture
) -> None:
    liar = keyed(nodes(3), {1: b"k0", 2: b"k2", 3: b"k1"})
    assert registered(liar, quorum=1) == ["bank-0"]
    assert caplog.text.count("another-name") == 2
    with pytest.raises(FederationError, match="another-name"):
        registered(liar, quorum=2)


def test_a_node_with_the_name_of_one_that_is_away_is_not_heard(nodes: MakeNodes) -> None:
    banks = nodes(3)
    banks.configs[2]["institution"] = "bank-1"
    assert registered(keyed(banks, {1: b"k0", 3: b"k2"}), quorum=1) == ["bank-0"]


def test_a_node_whose_key_nobody_registered_is_not_asked(nodes: MakeNodes) -> None:
    grid = keyed(nodes(3), {1: b"k0", 2: b"k1", 3: b"nobody's"})
    assert registered(grid, quorum=2) == ["bank-0", "bank-1"]
    assert grid.asked == [1, 2]


def test_node_that_died_over_the_question_and_is_back_takes_part(nodes: MakeNodes) -> None:
    died: list[str] = []

    def once(message: Message, reply: Message) -> Message:
        if died:
            return reply
        died.append("bank-1")
        return Message(Error(NODE_UNAVAILABLE, "offline"), reply_to=message)

    banks = nodes(3)
    grid = Keyed(Misbehaving({"bank-1": once}, kind="query.describe"), banks.configs)
    grid.keys, grid.asked = {1: b"k0", 2: b"k1", 3: b"k2"}, []
    patient = replace(REGISTER, settle_seconds=30.0)
    found = gather(grid, make_task(), quorum=3, wait_seconds=30.0, poll_seconds=0.001, register=patient)
    assert [member.institution for member in found] == ["bank-0", "bank-1", "bank-2"]
    assert grid.asked == [1, 2, 3, 2]


def test_node_that_stays_dead_is_asked_no_longer_than_the_last_ones_are_waited_for(nodes: MakeNodes) -> None:
    def dead(message: Message, reply: Message) -> Message:
        return Message(Error(NODE_UNAVAILABLE, "offline"), reply_to=message)

    grid = Keyed(Misbehaving({"bank-1": dead}, kind="query.describe"), nodes(3).configs)
    grid.keys, grid.asked = {1: b"k0", 2: b"k1", 3: b"k2"}, []
    assert registered(grid, quorum=2) == ["bank-0", "bank-2"]
