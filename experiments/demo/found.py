"""A folder becomes a consortium with members, an operator and an allowed study: what the commands do, in one process.

Everything is as in earnest: every institution makes its own keys in its own folder, officers sign, fingerprints are
compared, policies are signed. Only the telephone is missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clients.facts import set_facts
from clients.home import NodeHome
from clients.join import accept_offer, verify_offer
from clients.policy_file import sign_policy
from clients.request import make_request
from clients.rows import save_private
from fedcredit.data.windows import Windows
from fedcredit.errors import FederationError
from fedcredit.link.running import free_port
from fedcredit.trust.keys import Identity
from fedcredit.trust.manifest import Manifest, StudyRule
from server.bundle import bundle
from server.consortium.approve import approval, read_requests
from server.consortium.home import Consortium, Published
from server.consortium.operator import join
from server.consortium.operator import make_request as operator_request
from server.consortium.pending import Pending
from server.consortium.settings import Settings
from server.consortium.studies import Limits, allowed, narrowed, task_schema

OFFICERS = ("ann", "ben", "eva")
THRESHOLD = 2
DAYS = 365
NO_LIMITS = Limits()


@dataclass(frozen=True)
class Founded:
    """A consortium on this machine, and the folder of each member's node."""

    consortium: Consortium
    nodes: dict[str, NodeHome]


def found(folder: Path, names: Sequence[str], *, study: str, limits: Limits = NO_LIMITS) -> Founded:
    """Found it in the folder: members of these names, one operator, and the study allowed with the code of today.

    The operator's profile is under FEDCREDIT_HOME, which the caller has set to `folder`.
    """
    folder = folder.resolve()
    settings = Settings("demo", f"127.0.0.1:{free_port()}")
    consortium, _ = Consortium.create(
        folder / "consortium", settings, by=OFFICERS, threshold=THRESHOLD, now=datetime.now(UTC)
    )
    nodes = {name: NodeHome(folder / f"node-{number}") for number, name in enumerate(names)}
    requests = [make_request(node, institution=name) for name, node in nodes.items()]
    answers = let_in(consortium, requests)
    for name, node in nodes.items():
        accept(node, answers[name].read_bytes(), fingerprint=consortium.current().root_fingerprint)
    admit_operator(consortium)
    allow(consortium, study, limits=limits)
    return Founded(consortium, nodes)


def let_in(consortium: Consortium, requests: Sequence[bytes]) -> dict[str, Path]:
    """The answers to requests of institutions, by name."""
    made = approval(consortium, read_requests(requests, role="institution"), now=datetime.now(UTC))
    return dict(sign(consortium, made.change).answers)


def accept(node: NodeHome, answer: bytes, *, fingerprint: str) -> None:
    """Verify the answer, sign the policy, and write what the node needs."""
    now = datetime.now(UTC)
    offer = verify_offer(answer, home=node, fingerprint=fingerprint, now=now)
    accept_offer(offer, home=node, fingerprint=fingerprint, now=now)


def admit_operator(consortium: Consortium, name: str = "operator") -> None:
    """Let an operator in who works on this machine."""
    request = operator_request(name)
    made = approval(consortium, read_requests([request], role="operator"), now=datetime.now(UTC))
    answer = sign(consortium, made.change).answers[name].read_bytes()
    join(answer, fingerprint=consortium.current().root_fingerprint, now=datetime.now(UTC))


def allow(consortium: Consortium, study: str, *, limits: Limits = NO_LIMITS, bundles: Sequence[str] = ()) -> Manifest:
    """Allow the study, with the bundle of the code that is installed or with others."""
    now = datetime.now(UTC)
    schema = narrowed(task_schema(), study=study, limits=limits)
    digests = tuple(bundles) or (bundle().sha256,)
    rule = StudyRule(study, "credit-risk", digests, schema, (now + timedelta(days=DAYS)).replace(microsecond=0))
    change = consortium.prepared(f"study allow {study}", lambda at: allowed(consortium, rule, now=at), now=now)
    return sign(consortium, change).manifest


def sign(consortium: Consortium, change: Pending) -> Published:
    """Sign the change with the officers' keys, which all lie here, and publish it."""
    outcome = consortium.propose(change, by=consortium.keys((), change), now=datetime.now(UTC))
    if not isinstance(outcome, Published):
        raise FederationError("demo", found=str(outcome), expected="enough officers' keys in the folder")
    return outcome


def give_rows(founded: Founded, windows: Windows, *, label_definition: str) -> None:
    """Lay each institution's rows into its node's folder; they are synthetic or public, and the node says so."""
    for name, node in founded.nodes.items():
        save_private(windows.of(name).part("train", "validation"), node.windows)
        set_facts(node, label_definition=label_definition, open_rows=True, exact_metrics=True, overspending=True)


def widen_policies(founded: Founded, **change: str) -> None:
    """Let every officer allow more than the template does, as is right for synthetic rows: open sums, exact counts.

    `change` are lines of the policy, such as studies="[trial]".
    """
    said = {"metrics": "exact", "require_masks": "false", "smallest_cohort": "1"}
    said |= {"epsilon": "{run: null, lifetime: null}", **change}
    for node in founded.nodes.values():
        lines = node.policy.read_text(encoding="utf-8").splitlines()
        for key, value in said.items():
            lines = [f"{key}: {value}" if line.startswith(f"{key}:") else line for line in lines]
        node.policy.write_text("\n".join(lines) + "\n", encoding="utf-8")
        sign_policy(node.policy, officer=Identity.load(node.officer))


@contextmanager
def home_in(folder: Path) -> Iterator[None]:
    """FEDCREDIT_HOME is the folder, as long as the block lasts."""
    before = os.environ.get("FEDCREDIT_HOME")
    os.environ["FEDCREDIT_HOME"] = str(folder.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ["FEDCREDIT_HOME"]
        else:
            os.environ["FEDCREDIT_HOME"] = before
