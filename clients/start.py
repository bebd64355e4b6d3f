"""A node's folder becomes a running node: tunnel, door, worker, and the loop that answers until it is told to stop.

Nothing is kept in memory that a restart would miss: what was answered, charged, dealt and logged is in the folder.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import platform
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from flwr.app import Message

from clients.audit_log import AuditLog
from clients.door import Door
from clients.facts import read_facts
from clients.home import NodeHome
from clients.node import Question, connected, serve
from clients.pending import Pending
from clients.tunnel import node_tunnel
from clients.warm import Worker
from fedcredit.errors import FedCreditError, NodeError
from fedcredit.trust.keys import Identity, PublicIdentity
from fedcredit.trust.manifest import Manifest, ManifestFile
from fedcredit.trust.roster import write_roster

log = logging.getLogger(__name__)

REFRESH_SECONDS = 60.0  # how soon a node learns of a new manifest while nobody asks it anything
MANIFEST_PATH = "/v1/manifest"
MAX_MANIFEST_BYTES = 16 * 1024 * 1024


def run_node(home: NodeHome) -> None:
    """Run the node until SIGTERM or Ctrl-C.

    Raises:
        NodeError, ConfigError, ManifestRefused, LinkRefused: it cannot start, with the remedy.
    """
    facts = read_facts(home)
    home.run.mkdir(mode=0o700, exist_ok=True)
    with _alone(home), _stoppable(), (home.run / "worker.log").open("ab") as worker_log:
        door = Door(ManifestFile(home.manifest), home.state / "seen.sqlite")
        worker = Worker(facts.node_config(home), log_file=worker_log, seconds=facts.worker_seconds)
        status = _Status(home, worker)
        status.write("starting")
        try:
            with node_tunnel(home, facts, gateway=door.manifest().gateway) as address:
                refresh = _Refresh(home, door, worker, address=address)
                refresh.now()  # what changed while it was away
                worker.start()
                _answer_all(home, door, worker, status, refresh, address=address)
        except KeyboardInterrupt:
            log.info("asked to stop")
        finally:
            worker.kill()
            status.write("stopped")


def _answer_all(
    home: NodeHome, door: Door, worker: Worker, status: _Status, refresh: _Refresh, *, address: str
) -> None:
    session = home.run / "session.json"  # kept: who is killed, or ends while the platform is away, cannot sign off
    kept = AuditLog(home.audit_log, Identity.load(home.identity))  # what the worker never saw is on record too
    with connected(address, home.flower, last_node=_last_node(session)) as fleet:
        session.write_text(json.dumps({"node": fleet.node, "place": _place(session)}))
        status.write("online", node=fleet.node)
        log.info("online as node %s", fleet.node)

        def answer(question: Question) -> Message:
            began = time.monotonic()
            try:
                refresh.if_due()  # here too: a mailbox that is never empty must not keep an old manifest in force
                refresh.if_unknown(question.bundle)
                door.let_in(question)
                reply = worker.ask(question.message)
            except FedCreditError as fault:
                status.refused(fault.code)
                kept.append("refused", {"type": question.message.metadata.message_type[:40], "code": fault.code})
                raise
            status.answered(reply, seconds=time.monotonic() - began)
            return reply

        def known_bundle(sha256: str, content: bytes) -> None:
            try:
                refresh.if_unknown(sha256)
                door.known_bundle(sha256, content)
            except FedCreditError as fault:
                status.refused(fault.code)
                raise

        def idle() -> None:
            refresh.if_due()
            status.note_manifest(refresh.version)

        pending = Pending(home.state / "question.pb")
        serve(fleet, answer, known_bundle=known_bundle, idle=idle, pending=pending)


class _Refresh:
    """The newest manifest, fetched through the gateway; one that does not stand is not taken."""

    def __init__(self, home: NodeHome, door: Door, worker: Worker, *, address: str) -> None:
        self._home, self._door, self._worker, self._address = home, door, worker, address
        self._due = 0.0
        self._members: dict[str, PublicIdentity] = {}
        self._follow(door.manifest())

    def if_due(self) -> None:
        """Fetch it where a minute has passed."""
        if time.monotonic() >= self._due:
            self.now()

    def if_unknown(self, bundle: str) -> None:
        """Fetch it where the one that is kept does not know the bundle: it may have been allowed a moment ago."""
        if not any(bundle in rule.bundles for rule in self._door.manifest().studies):
            self.now()

    def now(self) -> None:
        """Fetch it."""
        self._due = time.monotonic() + REFRESH_SECONDS
        try:
            answer = httpx.get(f"http://{self._address}{MANIFEST_PATH}", timeout=10)
            answer.raise_for_status()
            if len(answer.content) > MAX_MANIFEST_BYTES:
                raise NodeError("manifest", found="a larger file", expected=f"at most {MAX_MANIFEST_BYTES} bytes")
            self._follow(ManifestFile(self._home.manifest).accept(answer.content, now=datetime.now(UTC)))
        except (httpx.HTTPError, FedCreditError) as fault:
            log.warning("no new manifest: %s", fault)

    def _follow(self, manifest: Manifest) -> None:
        """New members make a new roster, which the worker reads when it starts again."""
        self.version = manifest.version
        members = {member.name: member.identity for member in manifest.active_members}
        if members != self._members:
            self._members = members
            write_roster(self._home.roster, members)
            self._worker.stop()


class _Status:
    """run/status.json: what `node status` and the metrics read."""

    def __init__(self, home: NodeHome, worker: Worker) -> None:
        self._path, self._worker = home.run / "status.json", worker
        self._refused: Counter[str] = Counter()
        self._facts: dict[str, Any] = {"messages": 0, "last_message_at": None, "last_round_seconds": None}
        self._state = "starting"

    def answered(self, reply: Message, *, seconds: float) -> None:
        """Count an answer; one that is a refusal of the ClientApp's is counted by its code."""
        if reply.has_error():
            self._refused[reply.error.reason] += 1
        self._facts["messages"] += 1
        self._facts["last_message_at"] = datetime.now(UTC).isoformat(timespec="seconds")
        if reply.metadata.message_type.startswith("train"):
            self._facts["last_round_seconds"] = round(seconds, 4)
        self.write(self._state)

    def refused(self, code: str) -> None:
        """Count a question that was not let in, or not answered."""
        self._refused[code] += 1
        self.write(self._state)

    def note_manifest(self, version: int) -> None:
        """Say which manifest the node goes by."""
        if self._facts.get("manifest_version") != version:
            self.write(self._state, manifest_version=version)

    def write(self, state: str, **more: Any) -> None:
        """Say how the node is."""
        self._state = state
        self._facts |= more
        said = {
            "state": state,
            "pid": os.getpid(),
            "worker_pid": self._worker.pid,
            "worker_restarts": max(self._worker.restarts, 0),
            "refused": dict(self._refused),
            **self._facts,
        }
        draft = self._path.with_suffix(".draft")
        try:
            draft.write_text(json.dumps(said))
            draft.replace(self._path)
        except OSError as fault:  # a full disk: the node goes on, and says so to whoever asks
            log.warning("no status: %s", fault)


@contextmanager
def _alone(home: NodeHome) -> Iterator[None]:
    """One node a folder: two would answer for each other, and share one ledger."""
    with (home.run / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "fedcredit node status; fedcredit node stop"
            raise NodeError(str(home.folder), found="a node that runs", expected="none", hint=hint) from None
        yield


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM ends the node as Ctrl-C does, wherever flwr waits."""
    before: Callable[..., Any] | int | None = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _last_node(session: Path) -> int | None:
    """The id under which this folder's node was active on this machine; a second sign-off of it does no harm."""
    try:
        said = json.loads(session.read_text())
        return int(said["node"]) if said["place"] == _place(session) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _place(session: Path) -> str:
    """This folder on this machine, so that a copied folder does not sign off the node that it was copied from."""
    return f"{platform.node()}-{uuid.getnode():x}:{session.resolve()}"
