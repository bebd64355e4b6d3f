"""Banks under a signed policy and with an audit log, for tests that send real messages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from flwr.app import Message, RecordDict

from clients.app import app
from clients.audit_entry import AuditEntry
from clients.audit_log import read_log
from clients.policy_file import sign_policy
from fedcredit.federation.engine import to_record
from fedcredit.federation.grid import InProcessGrid
from fedcredit.federation.messages import DESCRIBE, SPENT, TRAIN, Task
from fedcredit.trust.keys import Identity
from fedcredit.trust.roster import write_roster
from server.app import initial_arrays
from tests.conftest import Nodes

OFFICER = Identity.generate()
POLICY: dict[str, Any] = {
    "purposes": ["*"],
    "studies": ["*"],
    "expires": "2099-12-31",
    "metrics": "exact",
    "require_masks": False,
}


def write_policy(path: Path, *, officer: Identity = OFFICER, **rules: Any) -> None:
    """A policy as its officer would write and sign it."""
    text = (
        yaml.safe_dump({**POLICY, **rules}, allow_unicode=True).replace("expires: '", "expires: ").replace("31'", "31")
    )
    path.write_text(text)
    sign_policy(path, officer=officer)


def govern(banks: Nodes, folder: Path, *, only: int | None = None, **rules: Any) -> Nodes:
    """Give each bank (or one) its identity, a policy of its own and an audit log."""
    (folder / "officer.pub").write_text(OFFICER.public.to_bytes().hex())
    pinned = {}
    for number, config in enumerate(banks.configs):
        name = config["institution"]
        key = folder / f"{name}.key"
        if not key.exists():
            Identity.generate().save(key)
        pinned[name] = Identity.load(key).public
        config |= {"identity": str(key), "roster": str(folder / "roster.json")}
        if only in (None, number):
            write_policy(folder / f"{name}.yaml", institution=name, **rules)
            config |= {
                "policy": str(folder / f"{name}.yaml"),
                "officer": str(folder / "officer.pub"),
                "audit": str(folder / f"{name}.jsonl"),
            }
    write_roster(folder / "roster.json", pinned)
    return banks


def ask(banks: Nodes, kind: str, task: Task, *, number: int = 1, node: int = 1, **more: int | str) -> Message:
    """A bank's reply to one message."""
    arrays = {} if kind in (DESCRIBE, SPENT) else {"arrays": to_record(initial_arrays(task))}
    content = RecordDict({"config": task.as_config(**{"server-round": number, **more}), **arrays})
    (reply,) = InProcessGrid(app, banks.configs).send_and_receive([Message(content, node, kind)])
    return reply


def train(banks: Nodes, task: Task, *, number: int = 1) -> Message:
    return ask(banks, TRAIN, task, number=number)


def code_of(reply: Message) -> str:
    return str(reply.error.reason) if reply.has_error() else "none"


def logged(banks: Nodes, *, node: int = 0) -> list[AuditEntry]:
    """What a bank's audit log has, verified."""
    config = banks.configs[node]
    return list(read_log(Path(config["audit"]), public=Identity.load(Path(config["identity"])).public))


Governed = Callable[..., Nodes]
