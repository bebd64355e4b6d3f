"""The messages of a round, in the order in which they travel. Indices are places in the roster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fedcredit.privacy.secagg.signed import SIGNATURE, UNSIGNED, Signed
from fedcredit.privacy.secagg.wire import (
    HASH,
    MAX_MEMBERS,
    U16,
    U32,
    Field,
    Message,
    by_index,
    fixed,
    indices,
    limited,
    record,
)
from fedcredit.privacy.shamir import SHARE_BYTES

TAG_BYTES = 16  # AES-GCM
SEALED_BYTES = 2 * SHARE_BYTES + TAG_BYTES
ROUND: Mapping[str, Field[Any]] = {"plan": HASH, "round": U32, "attempt": U32}


@dataclass(frozen=True)
class Deal(Signed):
    """Member to server, one round ahead: sealed shares of b and k, commitments to them, seeds wrapped under k."""

    kind: ClassVar[str] = "deal"
    layout: ClassVar[Mapping[str, Field[Any]]] = {
        **ROUND,
        "sender": U16,
        "sealed": by_index(fixed(SEALED_BYTES)),
        "commitments": by_index(record(HASH, HASH)),
        "secrets": record(HASH, HASH),
        "wrapped": limited(32 * MAX_MEMBERS + TAG_BYTES),
        "signature": SIGNATURE,
    }
    plan: bytes
    round: int
    attempt: int
    sender: int
    sealed: Mapping[int, bytes]
    commitments: Mapping[int, tuple[bytes, bytes]]
    secrets: tuple[bytes, bytes]
    wrapped: bytes
    signature: bytes = UNSIGNED


@dataclass(frozen=True)
class RoundStart(Message):
    """Server to one member, with the global model and the settings: who is in, and what each of them dealt to it."""

    kind: ClassVar[str] = "round-start"
    layout: ClassVar[Mapping[str, Field[Any]]] = {
        **ROUND,
        "cohort": indices(),
        "sealed": by_index(fixed(SEALED_BYTES)),
        "commitments": by_index(record(HASH, HASH)),
    }
    plan: bytes
    round: int
    attempt: int
    cohort: tuple[int, ...]
    sealed: Mapping[int, bytes]
    commitments: Mapping[int, tuple[bytes, bytes]]


@dataclass(frozen=True)
class UploadHeader(Signed):
    """Member to server, beside the masked vector: what it was computed from, signed."""

    kind: ClassVar[str] = "upload-header"
    layout: ClassVar[Mapping[str, Field[Any]]] = {
        **ROUND,
        "sender": U16,
        "context": HASH,
        "payload": HASH,
        "signature": SIGNATURE,
    }
    plan: bytes
    round: int
    attempt: int
    sender: int
    context: bytes
    payload: bytes
    signature: bytes = UNSIGNED


@dataclass(frozen=True)
class SurvivorSet(Message):
    """Server to all survivors: whose uploads it has, and the digest of each."""

    kind: ClassVar[str] = "survivor-set"
    layout: ClassVar[Mapping[str, Field[Any]]] = {**ROUND, "context": HASH, "payloads": by_index(HASH)}
    plan: bytes
    round: int
    attempt: int
    context: bytes
    payloads: Mapping[int, bytes]


@dataclass(frozen=True)
class SurvivorSignature(Signed):
    """Member to all survivors: this survivor set over this model, these settings, this cohort, and no other."""

    kind: ClassVar[str] = "survivor-signature"
    layout: ClassVar[Mapping[str, Field[Any]]] = {**ROUND, "sender": U16, "statement": HASH, "signature": SIGNATURE}
    plan: bytes
    round: int
    attempt: int
    sender: int
    statement: bytes
    signature: bytes = UNSIGNED


@dataclass(frozen=True)
class SignatureSet(Message):
    """Server to all survivors: the signatures of at least t of them."""

    kind: ClassVar[str] = "signature-set"
    layout: ClassVar[Mapping[str, Field[Any]]] = {**ROUND, "signatures": by_index(SIGNATURE)}
    plan: bytes
    round: int
    attempt: int
    signatures: Mapping[int, bytes]


@dataclass(frozen=True)
class Release(Message):
    """Member to server: its shares of b of every survivor, and of k of every member of the cohort that is none.

    Not signed: each share must be the one that its dealer committed to under its signature, and can be no other.
    """

    kind: ClassVar[str] = "release"
    layout: ClassVar[Mapping[str, Field[Any]]] = {
        **ROUND,
        "sender": U16,
        "self_shares": by_index(fixed(SHARE_BYTES)),
        "key_shares": by_index(fixed(SHARE_BYTES)),
    }
    plan: bytes
    round: int
    attempt: int
    sender: int
    self_shares: Mapping[int, bytes]
    key_shares: Mapping[int, bytes]
