"""The messages between an institution and the server, in the order in which they travel.

Indices are places in the roster. Whatever a member sends is signed by its identity over everything before the signature, under the label of its kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from fedcredit.privacy.secagg.plan import Plan
from fedcredit.privacy.secagg.refusals import KeyRefused
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
from fedcredit.trust.keys import SIGNATURE_BYTES, Identity, SignatureInvalid

X25519_BYTES, MLKEM_PUBLIC, MLKEM_CIPHERTEXT, TAG_BYTES = 32, 1184, 1088, 16  # FIPS 203, table 3; AES-GCM's tag
SEALED_BYTES = 2 * SHARE_BYTES + TAG_BYTES
SIGN_LABEL = b"fedcredit/v1/secagg/message/"
SIGNATURE = fixed(SIGNATURE_BYTES)
ROUND: Mapping[str, Field[Any]] = {"plan": HASH, "round": U32, "attempt": U32}


class Signed(Message):
    """A message of a member, whose last field is its signature."""

    plan: bytes
    sender: int
    signature: bytes

    def signed(self, identity: Identity) -> Self:
        """The same message with its signature."""
        return replace(self, signature=identity.sign(self.unsigned(), context=self._label()))  # type: ignore[type-var]

    def verify(self, plan: Plan) -> Self:
        """The message itself, if it is of this plan and its sender's pinned identity signed it.

        Raises PlanRefused or KeyRefused otherwise.
        """
        plan.require(self.plan)
        try:
            plan.roster.identity(self.sender).verify(self.signature, self.unsigned(), context=self._label())
        except SignatureInvalid:
            raise KeyRefused(
                f"secagg message {self.kind!r}",
                found="a signature that the pinned identity did not make",
                expected="Ed25519 and ML-DSA-65, both valid",
            ) from None
        return self

    def _label(self) -> bytes:
        return SIGN_LABEL + self.kind.encode()


UNSIGNED = bytes(SIGNATURE_BYTES)


# --- set-up, once a run ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KeyOffer(Signed):
    """Member to all: its keys for this run."""

    kind: ClassVar[str] = "key-offer"
    layout: ClassVar[Mapping[str, Field[Any]]] = {
        "plan": HASH,
        "sender": U16,
        "x25519": fixed(X25519_BYTES),
        "mlkem": fixed(MLKEM_PUBLIC),
        "signature": SIGNATURE,
    }
    plan: bytes
    sender: int
    x25519: bytes
    mlkem: bytes
    signature: bytes = UNSIGNED


@dataclass(frozen=True)
class KeyList(Message):
    """Server to all: every offer it has, whole."""

    kind: ClassVar[str] = "key-list"
    layout: ClassVar[Mapping[str, Field[Any]]] = {"plan": HASH, "offers": by_index(limited(8192))}
    plan: bytes
    offers: Mapping[int, bytes]


@dataclass(frozen=True)
class Capsules(Signed):
    """Member to server: one ML-KEM ciphertext for each later member. `digests` of them are signed, so that each receiver can check its own."""

    kind: ClassVar[str] = "capsules"
    layout: ClassVar[Mapping[str, Field[Any]]] = {
        "capsules": by_index(fixed(MLKEM_CIPHERTEXT)),
        "plan": HASH,
        "sender": U16,
        "offers": HASH,
        "digests": by_index(HASH),
        "signature": SIGNATURE,
    }
    capsules: Mapping[int, bytes]
    plan: bytes
    sender: int
    offers: bytes
    digests: Mapping[int, bytes]
    signature: bytes = UNSIGNED

    def unsigned(self) -> bytes:
        """What is signed: the digests in place of the ciphertexts, so that it is the same for every receiver."""
        return super().unsigned() if not self.capsules else replace(self, capsules={}).unsigned()


@dataclass(frozen=True)
class CapsuleDelivery(Message):
    """Server to one member: the capsules message of every earlier member, cut to the ciphertext meant for it."""

    kind: ClassVar[str] = "capsule-delivery"
    layout: ClassVar[Mapping[str, Field[Any]]] = {
        "plan": HASH,
        "present": indices(),
        "capsules": by_index(limited(8192 + 40 * MAX_MEMBERS)),
    }
    plan: bytes
    present: tuple[int, ...]
    capsules: Mapping[int, bytes]


@dataclass(frozen=True)
class Confirmations(Message):
    """Member to server: for each peer, proof that it derived the same secret. Not signed: a MAC under the pair's key says more."""

    kind: ClassVar[str] = "confirmations"
    layout: ClassVar[Mapping[str, Field[Any]]] = {"plan": HASH, "sender": U16, "macs": by_index(HASH)}
    plan: bytes
    sender: int
    macs: Mapping[int, bytes]


@dataclass(frozen=True)
class ConfirmationDelivery(Message):
    """Server to one member: each peer's MAC for it."""

    kind: ClassVar[str] = "confirmation-delivery"
    layout: ClassVar[Mapping[str, Field[Any]]] = {"plan": HASH, "macs": by_index(HASH)}
    plan: bytes
    macs: Mapping[int, bytes]


# --- a round --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Deal(Signed):
    """Member to server, one round ahead: sealed shares of b and k, commitments to all of them, seeds wrapped under k."""

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
class Release(Signed):
    """Member to server: its shares of b of every survivor, and of k of every member of the cohort that is none."""

    kind: ClassVar[str] = "release"
    layout: ClassVar[Mapping[str, Field[Any]]] = {
        **ROUND,
        "sender": U16,
        "self_shares": by_index(fixed(SHARE_BYTES)),
        "key_shares": by_index(fixed(SHARE_BYTES)),
        "signature": SIGNATURE,
    }
    plan: bytes
    round: int
    attempt: int
    sender: int
    self_shares: Mapping[int, bytes]
    key_shares: Mapping[int, bytes]
    signature: bytes = UNSIGNED
