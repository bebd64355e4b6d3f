"""What a round is about becomes the seeds of its masks, so that masks cancel only among those who were told the same.

A pair's base seed binds (run, round, attempt) and can be computed one round ahead, before the model is known. The
mask's seed binds the context too: the digests of the global model and of the settings, and the cohort. Members who were
given different models (Pasquini et al. 2022) have masks that do not cancel; the server, who knows the context, gets
from a dropped member's base seeds to its masks in that context only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from fedcredit.privacy.secagg.agreement import expand
from fedcredit.privacy.secagg.plan import Plan
from fedcredit.privacy.secagg.wire import HASH, indices
from fedcredit.trust.keys import transcript

CONTEXT_LABEL = b"fedcredit/v1/secagg/context"
BASE_LABEL = b"fedcredit/v1/secagg/base-seed"
PAIR_MASK_LABEL = b"fedcredit/v1/secagg/pair-mask"
SELF_MASK_LABEL = b"fedcredit/v1/secagg/self-mask"
STATEMENT_LABEL = b"fedcredit/v1/secagg/survivors"
ROUND_LABEL = b"fedcredit/v1/secagg/round"


@dataclass(frozen=True)
class RoundId:
    """A round and which attempt at it, of a plan: everything in one is used once."""

    plan: bytes
    round: int
    attempt: int

    def to_bytes(self) -> bytes:
        """40 bytes, the same on all sides."""
        return self.plan + self.round.to_bytes(4, "big") + self.attempt.to_bytes(4, "big")

    @classmethod
    def of(cls, plan: Plan, round_: int, *, attempt: int) -> RoundId:
        """The round of a plan."""
        return cls(plan.hash, round_, attempt)


@dataclass(frozen=True)
class Context:
    """A round with the model, the settings and the cohort that a member was told."""

    at: RoundId
    model_sha256: bytes
    settings_sha256: bytes
    cohort: tuple[int, ...]

    def digest(self) -> bytes:
        """SHA-256 over all of it."""
        told = (HASH.write(self.model_sha256), HASH.write(self.settings_sha256), indices().write(self.cohort))
        return hashlib.sha256(transcript(CONTEXT_LABEL, self.at.to_bytes(), *told)).digest()


def topics(plan: Plan, round_: int, *, model_sha256: bytes) -> tuple[bytes, bytes]:
    """What sums are held against each other by: the global model in any run, and the round of a run over any model."""
    return model_sha256, hashlib.sha256(transcript(ROUND_LABEL, plan.run.encode(), round_.to_bytes(4, "big"))).digest()


def base_seed(secret: bytes, at: RoundId) -> bytes:
    """A pair's seed for a (round, attempt): opening it says nothing about another one."""
    return expand(secret, transcript(BASE_LABEL, at.to_bytes()))


def pair_mask_seed(base: bytes, context: bytes) -> bytes:
    """The seed of the mask that one of a pair adds and the other takes off, in this context."""
    return expand(base, transcript(PAIR_MASK_LABEL, context))


def self_mask_seed(b: bytes, context: bytes) -> bytes:
    """The seed of a member's own mask in this context."""
    return expand(b, transcript(SELF_MASK_LABEL, context))


def statement(context: bytes, payloads: Mapping[int, bytes]) -> bytes:
    """Digest of a survivor set: who survives, with which upload, over which context. This is what members sign."""
    entries = [part for at in sorted(payloads) for part in (at.to_bytes(2, "big"), payloads[at])]
    return hashlib.sha256(transcript(STATEMENT_LABEL, context, *entries)).digest()
