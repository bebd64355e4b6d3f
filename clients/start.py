"""A node's folder becomes a running node: tunnel, door, worker, and the loop that answers until it is told to stop.

Nothing is kept in memory that a restart would miss: what was answered, charged, dealt and logged is in the folder.
"""

from __future__ import annotations

import fcntl
import json
import logging
import platform
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flwr.app import Message

from clients.audit_log import AuditLog
from clients.connection import connected
from clients.door import Door
from clients.facts import read_facts
from clients.home import NodeHome
from clients.node import Question, serve
from clients.node_status import Status
from clients.pending import Pending
from clients.refresh import Refresh, last_manifest
from clients.tunnel import node_tunnel
from clients.unheard import on_record
from clients.warm import Worker
from fedcredit.errors import FedCreditError, NodeError
from fedcredit.trust.keys import Identity
from fedcredit.trust.manifest import ManifestFile

log = logging.getLogger(__name__)


def run_node(home: NodeHome) -> None:
    """Run the node until SIGTERM or Ctrl-C.

    Raises:
        NodeError, ConfigError, ManifestRefused, LinkRefused: it cannot start, with the remedy.
    """
    facts = read_facts(home)
    home.run.mkdir(mode=0o700, exist_ok=True)
    with _alone(home), stoppable(), (home.run / "worker.log").open("ab") as worker_log:
        door = Door(ManifestFile(home.manifest), home.state / "seen.sqlite")
        worker = Worker(facts.node_config(home), log_file=worker_log, seconds=facts.worker_seconds)
        status = Status(home, worker)
        status.write("starting")
        try:
            last = last_manifest(home)
            with node_tunnel(home, facts, last) as tunnel:
                refresh = Refresh(home, facts, last, tunnel=tunnel, on_members=worker.stop)
                refresh.now()  # what changed while it was away
                door.manifest()  # decides; the last one may have run out, and opened the tunnel only
                worker.start()
                _answer_all(home, door, worker, status, refresh, address=tunnel.address)
        except KeyboardInterrupt:
            log.info("asked to stop")
        finally:
            worker.kill()
            status.write("stopped")


def _answer_all(home: NodeHome, door: Door, worker: Worker, status: Status, refresh: Refresh, *, address: str) -> None:
    session = home.run / "session.json"  # kept: who is killed, or ends while the platform is away, cannot sign off
    kept = AuditLog(home.audit_log, Identity.load(home.identity))  # what the worker never saw is on record too
    with connected(address, home.flower, last_node=_last_node(session)) as fleet:
        session.write_text(json.dumps({"node": fleet.node, "place": _place(session)}))
        status.write("online", node=fleet.node)
        log.info("online as node %s", fleet.node)

        def answer(question: Question) -> Message:
            began = time.monotonic()
            refresh.if_due()  # here too: a mailbox that is never empty must not keep an old manifest in force
            refresh.if_unknown(question.bundle)
            door.let_in(question)
            reply = worker.ask(question.message)
            status.answered(reply, seconds=time.monotonic() - began)
            return reply

        def known_bundle(sha256: str, content: bytes) -> None:
            refresh.if_unknown(sha256)
            door.known_bundle(sha256, content)

        def refused(envelope: Message, fault: FedCreditError) -> str:
            status.refused(fault.code)
            return on_record(kept, envelope, fault)

        def idle() -> None:
            refresh.if_due()
            status.note_manifest(refresh.version)

        pending = Pending(home.state / "question.pb")
        serve(fleet, answer, known_bundle=known_bundle, idle=idle, pending=pending, refused=refused)


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
def stoppable() -> Iterator[None]:
    """SIGTERM ends the node as Ctrl-C does, wherever flwr waits; a second one does not cut that short.

    SIGINT ends it also where a shell started it in the background, and so had it ignored: flwr sends it to this process
    when the SuperLink does not know the node any more, and would wait for ever.
    """

    def stop(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before: dict[int, Any] = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, stop),
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
