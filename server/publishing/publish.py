"""A promoted bundle becomes one message to each node, and the replies who has it, who refused, who was silent."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flwr.app import Message, MetricRecord
from flwr.serverapp import Grid

from fedcredit.errors import FederationError
from fedcredit.federation.admission import error_code
from fedcredit.federation.champion import CHAMPION, Sent, task_of
from fedcredit.federation.exchange import Exchange
from fedcredit.federation.messages import METRICS
from fedcredit.models import bundle as bundles
from fedcredit.models.bundle import Bundle

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Published:
    """Who has the bundle: `kept` since now, `had` before; `refused` by code, `silent` till the deadline, `offline`."""

    model: str
    bundle_sha256: str
    kept: tuple[str, ...]
    had: tuple[str, ...]
    refused: Mapping[str, str]
    silent: tuple[str, ...]
    offline: tuple[str, ...]

    @property
    def is_everywhere(self) -> bool:
        """Whether every institution has it."""
        return not (self.refused or self.silent or self.offline)

    def as_dict(self) -> dict[str, Any]:
        """For a file and for `--json`."""
        return asdict(self) | {"is_everywhere": self.is_everywhere}


def publish(
    grid: Grid,
    sent: Sent,
    *,
    names: Mapping[int, str],
    members: tuple[str, ...],
    study: str,
    model: str,
    deadline_seconds: float,
    poll_seconds: float = POLL_SECONDS,
) -> Published:
    """Send the bundle to the nodes that are online, by number and name, of all `members`.

    Each node verifies it for itself; that the files are a bundle at all is seen here, before anybody is asked.

    Raises:
        ModelError: they are none. FederationError: no node is online.
    """
    bundle = opened(sent)
    if not names:
        hint = "start a node: fedcredit node start"
        raise FederationError("publishing", found="no node online", expected="one or more", hint=hint)
    content = sent.content(task_of(bundle, study=study))
    exchange = Exchange(grid, names, deadline_seconds=deadline_seconds, poll_seconds=poll_seconds)
    replies, silent = exchange.send([Message(content, node, CHAMPION) for node in sorted(names)])
    said = {name: _word(reply) for name, reply in replies.items()}
    return Published(
        model=model,
        bundle_sha256=bundle.sha256,
        kept=tuple(sorted(name for name, word in said.items() if word == 1)),
        had=tuple(sorted(name for name, word in said.items() if word == 0)),
        refused={name: word for name, word in sorted(said.items()) if isinstance(word, str)},
        silent=tuple(silent),
        offline=tuple(sorted(set(members) - set(names.values()))),
    )


def opened(sent: Sent) -> Bundle:
    """The bundle in the files, verified."""
    with tempfile.TemporaryDirectory(prefix="fedcredit-") as name:
        for file, content in sent.files.items():
            (Path(name) / file).write_bytes(content)
        return bundles.read(Path(name))


def _word(reply: Message) -> int | str:
    """1 or 0 as the node said; else a code."""
    if reply.has_error():
        return error_code(reply).removeprefix("error-")
    metrics = reply.content.get(METRICS)
    word = metrics.get("champion") if isinstance(metrics, MetricRecord) else None
    return word if type(word) is int and word in (0, 1) else "another-form"
