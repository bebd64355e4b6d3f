"""A question is let in or refused before the worker sees it: asked once, of an allowed bundle, for its own study."""

from __future__ import annotations

import json
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path

from flwr.app import ConfigRecord

from clients.node import Question
from fedcredit.errors import NodeError, PolicyRefused
from fedcredit.federation.packing import unpack
from fedcredit.journal import write_ahead
from fedcredit.trust.bundle import BundleRefused, check_bundle
from fedcredit.trust.manifest import Manifest, ManifestFile

KEPT_SECONDS = 90 * 86_400.0  # a message lives half a day in Flower; this leaves no room for a mistake
WAIT_SECONDS = 10.0  # for another process that opens the same file, as a node that has not ended yet
CONFIG = "config"
MAX_TASK_LETTERS = 64 * 1024  # as in federation/messages.py, which takes torch; parsed, JSON takes many times as much


class ReplayRefused(PolicyRefused):
    """A message that was answered before has come again."""

    code = "replayed"


class Door:
    """What one node lets in, by its newest manifest. `seen` is on disk: a restart forgets no message."""

    def __init__(self, manifest: ManifestFile, seen: Path) -> None:
        self._manifest = manifest
        seen.parent.mkdir(parents=True, exist_ok=True)
        self._seen = sqlite3.connect(seen, isolation_level=None, timeout=WAIT_SECONDS)
        write_ahead(self._seen, wait_seconds=WAIT_SECONDS)
        self._seen.execute("CREATE TABLE IF NOT EXISTS seen (message TEXT PRIMARY KEY, at REAL) WITHOUT ROWID")
        self._seen.execute("DELETE FROM seen WHERE at < ?", (time.time() - KEPT_SECONDS,))

    def manifest(self) -> Manifest:
        """The newest manifest that this node has; raises where it has none, or one that has expired."""
        return self._manifest.read(now=datetime.now(UTC))

    def known_bundle(self, sha256: str, content: bytes) -> None:
        """Return if the bundle of a run is one of the manifest's.

        Raises:
            BundleRefused, ManifestRefused: it is not, or the manifest itself does not stand.
        """
        allowed = {digest for rule in self.manifest().studies for digest in rule.bundles}
        check_bundle(content, sha256=sha256, allowed=allowed)

    def let_in(self, question: Question) -> None:
        """Return if the question may go to the worker; it will not be let in twice.

        Raises:
            PolicyRefused, ReplayRefused: with the reason.
        """
        study = _study_of(question)
        rule = self.manifest().rule_for(study) if study else None
        if rule is None:
            raise StudyRefused("task.study", found="one that is not in the manifest", expected="a registered study")
        if question.bundle not in rule.bundles:
            raise BundleRefused("bundle", found="one that is allowed for another study", expected="one of this study")
        try:
            key = question.message.metadata.message_id
            self._seen.execute("INSERT INTO seen VALUES (?, ?)", (key, time.time()))
        except sqlite3.IntegrityError:
            raise ReplayRefused("message", found="one that was answered before", expected="a new one") from None
        except sqlite3.Error as fault:  # without a note of it, it could be asked twice
            found, hint = f"no note of the message ({fault})", "is the disk full? fedcredit node check"
            raise NodeError("seen.sqlite", found=found, expected="a disk that can be written", hint=hint) from None


class StudyRefused(PolicyRefused):
    """A task names no study that the consortium has registered."""

    code = "study"


def _study_of(question: Question) -> str:
    """The study that the message's task names; what else is in the task is the ClientApp's to check."""
    config = unpack(question.message.content).get(CONFIG)
    text = config.get("task") if isinstance(config, ConfigRecord) else None
    try:
        raw = json.loads(text) if isinstance(text, str) and len(text) <= MAX_TASK_LETTERS else None
    except (ValueError, RecursionError):
        raw = None
    study = raw.get("study") if isinstance(raw, dict) else None
    return study if isinstance(study, str) else ""
