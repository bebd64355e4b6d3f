"""The nodes on a grid become named institutions that fit together, after a bounded wait."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from fedcredit.errors import FederationError
from fedcredit.federation.admission import error_code
from fedcredit.federation.messages import CONFIG, DESCRIBE, Task

log = logging.getLogger(__name__)

NODE_UNAVAILABLE = 5  # flwr's ErrorCode for a node that went offline over a message


@dataclass(frozen=True)
class Member:
    """What an institution says of itself before a run; `companies` is how many it trains on."""

    node: int
    institution: str
    schema_sha256: str
    label_definition: str
    companies: int
    rows: int


@dataclass(frozen=True)
class Register:
    """Whose node each registered key is, by the key in base64; `settle_seconds` is how long the last ones are waited
    for once there are enough.
    """

    keys: Mapping[str, str]
    settle_seconds: float = 10.0

    def names_on(self, grid: Grid) -> dict[int, str]:
        """The institution of each node that is online; a SuperLink's grid knows the keys."""
        found = grid.get_nodes()  # of HttpGrid
        keys = {int(node.node_id): base64.b64encode(bytes(node.public_key)).decode() for node in found}
        return {node: self.keys[key] for node, key in keys.items() if key in self.keys}


def gather(
    grid: Grid,
    task: Task,
    *,
    quorum: int,
    wait_seconds: float,
    poll_seconds: float = 0.5,
    register: Register | None = None,
) -> list[Member]:
    """The institutions of this run, sorted by name.

    Waits at most `wait_seconds` for `quorum` nodes (Flower's own loop would wait for ever), asks each who it is, and
    refuses institutions that share a name, or whose schema or label definition differs. With a register only the
    institutions in it are asked, those of the task's groups where it has any, and each is heard under its own name.

    Raises:
        FederationError: too few nodes or answers in time, or institutions that do not fit together.
    """
    give_up = time.monotonic() + wait_seconds
    wanted = {name for group in task.masking.groups for name in group} if task.masking is not None else None
    names = (lambda: _wanted(register.names_on(grid), wanted)) if register is not None else (lambda: None)
    nodes = _wait_for_nodes(grid, names, quorum=quorum, give_up=give_up, poll_seconds=poll_seconds)
    if register is not None:
        most = len(set(register.keys.values()) & wanted if wanted is not None else set(register.keys.values()))
        settled = min(give_up, time.monotonic() + register.settle_seconds)
        while len(nodes) < most and time.monotonic() < settled:
            time.sleep(poll_seconds)
            nodes = sorted(names() or {})
    registered = names()
    pushed = _asked(grid, task, nodes)
    again_until = time.monotonic() + (register.settle_seconds if register is not None else 0.0)
    members: list[Member] = []
    unfit: list[str] = []
    while pushed:
        for reply in grid.pull_messages(list(pushed)):
            node = pushed.pop(reply.metadata.reply_to_message_id, None)
            if node is None:  # a reply to nothing that was asked counts for nothing
                continue
            if reply.has_error() and reply.error.code == NODE_UNAVAILABLE and time.monotonic() < again_until:
                # It died, and the SuperLink answers for it: one that is back by now takes part.
                time.sleep(poll_seconds)
                pushed |= _asked(grid, task, [node])
                continue
            member = _member(node, reply)
            if isinstance(member, Member) and registered is not None and registered.get(node) != member.institution:
                member = "another-name"
            if isinstance(member, Member):
                members.append(member)
            else:
                unfit.append(f"node {node}: {member}")
        if not pushed or time.monotonic() > give_up:
            break
        time.sleep(poll_seconds)
    if len(members) < quorum:
        raise FederationError(
            "gathering institutions",
            found=f"{len(members)} that said who they are" + (f" ({', '.join(unfit)})" if unfit else ""),
            expected=f"at least the quorum of {quorum}",
            hint="the reasons' details are in the nodes' own logs; start the missing ones, or lower federation.quorum",
        )
    for left_out in [*unfit, *(f"node {node}: no answer" for node in pushed.values())]:
        log.warning("left out of this run: %s", left_out)
    _check_fit(members)
    return sorted(members, key=lambda member: member.institution)


@dataclass(frozen=True)
class FreeNodes:
    """What a strategy may see of the grid when it chooses a round's nodes: those that are free to take part."""

    nodes: Sequence[int]

    def get_node_ids(self) -> Sequence[int]:
        """The free nodes, as `Grid.get_node_ids` would give them."""
        return self.nodes


def _asked(grid: Grid, task: Task, nodes: Sequence[int]) -> dict[str, int]:
    """Ask each node who it is: whose answer each of the messages waits for."""
    questions = [Message(RecordDict({CONFIG: task.as_config()}), node, DESCRIBE) for node in nodes]
    return dict(zip(grid.push_messages(questions), nodes, strict=True))


def _wanted(names: dict[int, str], wanted: set[str] | None) -> dict[int, str]:
    return {node: name for node, name in names.items() if wanted is None or name in wanted}


def _wait_for_nodes(
    grid: Grid, names: Callable[[], dict[int, str] | None], *, quorum: int, give_up: float, poll_seconds: float
) -> list[int]:
    def nodes_now() -> list[int]:
        registered = names()
        return sorted(grid.get_node_ids() if registered is None else registered)

    while len(nodes := nodes_now()) < quorum:
        if time.monotonic() > give_up:
            raise FederationError(
                "waiting for nodes",
                found=f"{len(nodes)} connected",
                expected=f"at least the quorum of {quorum}",
                hint="start the missing nodes, or lower federation.quorum",
            )
        time.sleep(poll_seconds)
    return nodes


def _member(node: int, reply: Message) -> Member | str:
    """The member, or a code that says why there is none."""
    if reply.has_error():
        return error_code(reply)
    facts = reply.content.get(CONFIG)
    wanted: Mapping[str, type] = {
        "institution": str,
        "schema-sha256": str,
        "label-definition": str,
        "companies": int,
        "rows": int,
    }
    if not isinstance(facts, ConfigRecord) or any(type(facts.get(key)) is not kind for key, kind in wanted.items()):
        return "another-form"
    return Member(
        node,
        str(facts["institution"])[:200],
        str(facts["schema-sha256"])[:64],
        str(facts["label-definition"])[:500],
        int(facts["companies"]),
        int(facts["rows"]),
    )


def _check_fit(members: list[Member]) -> None:
    names = [member.institution for member in members]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise FederationError("institutions", found=f"{', '.join(twice)} more than once", expected="one node each")
    for fact in ("label_definition", "schema_sha256"):
        values = {getattr(member, fact): member.institution for member in members}
        if len(values) > 1:
            raise FederationError(
                f"institutions {', '.join(sorted(values.values()))}",
                found=f"{len(values)} different values of {fact}",
                expected="one that all share",
                hint="institutions whose features or label definitions differ cannot be mixed",
            )
