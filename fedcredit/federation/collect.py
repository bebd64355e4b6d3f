"""The train messages of a round become what the platform may learn from it: here, every institution's own update."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from flwr.app import ArrayRecord, Message
from numpy.typing import NDArray

from fedcredit.federation.admission import Admitted, Quarantined, Reference, admit, validation_counts
from fedcredit.federation.cohort import Member
from fedcredit.federation.exchange import Exchange
from fedcredit.federation.messages import EXAMPLES

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Collected:
    """What came of a round's messages.

    updates: what the strategy averages, each with its num-examples. institutions: whose work is in them. quarantined:
    who was turned away, with a code. missing: who did not answer in time. counts: additive validation scores of good
    and bad companies, (2, SCORE_BINS). loss: the mean over examples.
    """

    updates: list[Message]
    institutions: list[str]
    quarantined: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    counts: NDArray[np.int64] | None = None
    loss: float | None = None
    per_institution: dict[str, dict[str, float]] = field(default_factory=dict)


class Collector(Protocol):
    """How a round's updates come in: in the open, or as one masked sum."""

    def collect(self, number: int, messages: Sequence[Message], incoming: ArrayRecord) -> Collected:
        """Send the strategy's messages of round `number` and take in what comes back."""

    def evaluate(self, number: int, messages: Sequence[Message]) -> NDArray[np.int64] | None:
        """Send messages with the final model; the validation counts of all together, None where nobody has any."""


class OpenCollector:
    """Each institution's update in the clear, admitted or quarantined on its own: what robust strategies need."""

    def __init__(self, exchange: Exchange, members: Sequence[Member]) -> None:
        self._exchange = exchange
        self._rows = {member.institution: member.rows for member in members}

    def collect(self, number: int, messages: Sequence[Message], incoming: ArrayRecord) -> Collected:
        """Good replies in the order of names (one seed, one aggregate); the others by reason."""
        reference = Reference.of(incoming)
        replies, missing = self._exchange.send(messages)
        for name in missing:
            log.warning("late: %s sits out until its reply has come", name)
        good: dict[str, Admitted] = {}
        bad: dict[str, str] = {}
        for name in sorted(replies):
            outcome = admit(replies[name], reference, most_examples=self._rows[name])
            if isinstance(outcome, Quarantined):
                bad[name] = outcome.reason
                log.warning("quarantined: %s, %s", name, outcome.reason)
            else:
                good[name] = outcome
        return Collected(
            updates=[reply.message for reply in good.values()],
            institutions=list(good),
            quarantined=bad,
            missing=missing,
            counts=_total([reply.counts for reply in good.values()]),
            loss=_mean_loss([reply.metrics for reply in good.values()]),
            per_institution={name: dict(reply.metrics) for name, reply in good.items()},
        )

    def evaluate(self, number: int, messages: Sequence[Message]) -> NDArray[np.int64] | None:
        """The counts that came, added up."""
        replies, _ = self._exchange.send(messages)
        return _total([validation_counts(reply) for _, reply in sorted(replies.items())])


def _total(counts: Sequence[NDArray[Any] | None]) -> NDArray[np.int64] | None:
    found = [sides for sides in counts if sides is not None]
    return np.sum(found, axis=0, dtype=np.int64) if found else None


def _mean_loss(metrics: Sequence[Mapping[str, float]]) -> float | None:
    if not metrics or any("loss" not in one for one in metrics):
        return None  # under privacy a loss would be a release of its own
    examples = np.array([one[EXAMPLES] for one in metrics])
    return float((examples * [one["loss"] for one in metrics]).sum() / examples.sum())
