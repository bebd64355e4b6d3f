"""The messages of a run's set-up, in the order in which they travel. Indices are places in the roster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from fedcredit.privacy.secagg.signed import SIGNATURE, UNSIGNED, Signed
from fedcredit.privacy.secagg.wire import HASH, MAX_MEMBERS, U16, Field, Message, by_index, fixed, indices, limited

X25519_BYTES, MLKEM_PUBLIC, MLKEM_CIPHERTEXT = 32, 1184, 1088  # RFC 7748; FIPS 203, table 3
MAX_SIGNED_BYTES = 8192  # an offer; a ciphertext with its signature


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
    layout: ClassVar[Mapping[str, Field[Any]]] = {"plan": HASH, "offers": by_index(limited(MAX_SIGNED_BYTES))}
    plan: bytes
    offers: Mapping[int, bytes]


@dataclass(frozen=True)
class Capsules(Signed):
    """Member to server: one ML-KEM ciphertext for each later member; signed are their digests.

    So the signature is the same for every receiver, who gets its own ciphertext only.
    """

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
        "capsules": by_index(limited(MAX_SIGNED_BYTES + 40 * MAX_MEMBERS)),
    }
    plan: bytes
    present: tuple[int, ...]
    capsules: Mapping[int, bytes]


@dataclass(frozen=True)
class Confirmations(Message):
    """Member to server: proof for each peer that we have the same secret; a MAC under their key, so not signed."""

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
