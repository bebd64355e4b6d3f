"""Institutions are gathered within a bounded time, and only if they fit together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from clients.app import app
from fedcredit.data.windows import save
from fedcredit.errors import FederationError
from fedcredit.federation.cohort import Member, gather
from fedcredit.federation.grid import InProcessGrid
from tests.conftest import Nodes, make_windows
from tests.federation.conftest import make_task
from tests.federation.misbehaving import grid_of, raises

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
    assert time.monotonic() - started < 2.0


class _Silent(InProcessGrid):
    def pull_messages(self, message_ids: Any) -> list[Message]:
        return [reply for reply in super().pull_messages(message_ids) if reply.metadata.src_node_id != 2]


def test_a_node_that_never_answers_is_waited_for_no_longer_than_said(nodes: MakeNodes) -> None:
    grid = _Silent(app, nodes(3).configs)
    with pytest.raises(FederationError, match="found 2 that said who they are, expected at least the quorum of 3"):
        gathered(grid)
    assert [member.institution for member in gathered(grid, quorum=2)] == ["bank-0", "bank-2"]


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
