"""What a node does becomes run/status.json, which `node status` and the metrics read."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from flwr.app import Message

from clients.home import NodeHome
from clients.warm import Worker

log = logging.getLogger(__name__)


class Status:
    """Counts and state of one node that runs."""

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
