"""Two members' signed keys become one secret that only they know, and that both prove they know.

Hybrid: X25519 and ML-KEM-768 go into one HKDF, so the secret stands while either does. ML-KEM rejects a bad ciphertext
implicitly (a secret that looks random, no error), hence the confirmation MACs. The transcript holds the plan, the
digest of *all* offers and both members' keys and ciphertext: members who were shown different offers do not agree.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedcredit.privacy.secagg.refusals import KeyRefused
from fedcredit.privacy.secagg.setup_messages import KeyOffer
from fedcredit.trust.keys import transcript

PAIR_LABEL = b"fedcredit/v1/secagg/pair"
OFFERS_LABEL = b"fedcredit/v1/secagg/offers"
CONFIRM_LABEL = b"fedcredit/v1/secagg/confirm"


@dataclass(frozen=True, repr=False)
class RunKeys:
    """A member's private keys of one run: raw X25519 scalar and ML-KEM seed."""

    x25519: bytes
    mlkem: bytes

    @classmethod
    def generate(cls) -> RunKeys:
        """New keys from the operating system's randomness."""
        return cls(X25519PrivateKey.generate().private_bytes_raw(), MLKEM768PrivateKey.generate().private_bytes_raw())

    def public(self) -> tuple[bytes, bytes]:
        """X25519 and ML-KEM-768 public key."""
        return (
            X25519PrivateKey.from_private_bytes(self.x25519).public_key().public_bytes_raw(),
            MLKEM768PrivateKey.from_seed_bytes(self.mlkem).public_key().public_bytes_raw(),
        )


def offers_digest(offers: Mapping[int, KeyOffer]) -> bytes:
    """SHA-256 over all keys in a run: members who see other keys have other secrets."""
    keys = [part for at in sorted(offers) for part in (bytes([at >> 8, at & 255]), offers[at].x25519, offers[at].mlkem)]
    return hashlib.sha256(transcript(OFFERS_LABEL, *keys)).digest()


@dataclass(frozen=True)
class PairTranscript:
    """Everything public about a pair: plan, all offers, the earlier and the later member's keys."""

    plan: bytes
    offers: bytes
    earlier: KeyOffer
    later: KeyOffer

    def secret(self, lattice: bytes, classical: bytes, *, capsule: bytes) -> bytes:
        """The pair's 32-byte secret from both shared secrets (Giacon et al. 2018: the KDF sees the transcript)."""
        keys = (self.earlier.x25519, self.earlier.mlkem, self.later.x25519, self.later.mlkem)
        who = (self.earlier.sender.to_bytes(2, "big"), self.later.sender.to_bytes(2, "big"))
        info = transcript(PAIR_LABEL, self.plan, self.offers, *who, *keys, capsule)
        return HKDF(SHA256(), 32, None, info).derive(lattice + classical)


def encapsulate(keys: RunKeys, pair: PairTranscript) -> tuple[bytes, bytes]:
    """The earlier member's side: the pair's secret, and the ciphertext for the later member."""
    try:
        lattice, capsule = MLKEM768PublicKey.from_public_bytes(pair.later.mlkem).encapsulate()
    except ValueError:
        raise _malformed() from None
    return pair.secret(lattice, _exchange(keys, pair.later.x25519), capsule=capsule), capsule


def decapsulate(keys: RunKeys, pair: PairTranscript, *, capsule: bytes) -> bytes:
    """The later member's side: the pair's secret. A wrong ciphertext gives another one, which confirmation finds."""
    lattice = MLKEM768PrivateKey.from_seed_bytes(keys.mlkem).decapsulate(capsule)
    return pair.secret(lattice, _exchange(keys, pair.earlier.x25519), capsule=capsule)


def _exchange(keys: RunKeys, peer: bytes) -> bytes:
    try:
        return X25519PrivateKey.from_private_bytes(keys.x25519).exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError:  # a point of small order gives zeros, which everybody knows
        raise _malformed() from None


def _malformed() -> KeyRefused:
    return KeyRefused("secagg keys", found="a malformed public key", expected="X25519 and ML-KEM-768 keys")


def confirmation(secret: bytes, *, sender: int, receiver: int) -> bytes:
    """MAC by which the sender shows the receiver that it has their secret; the two directions differ."""
    key = expand(secret, CONFIRM_LABEL)
    return hmac.digest(key, sender.to_bytes(2, "big") + receiver.to_bytes(2, "big"), "sha256")


def expand(secret: bytes, info: bytes) -> bytes:
    """HKDF-Expand (RFC 5869, 2.3) to 32 bytes; the extract step is done, since every secret here is uniform."""
    return hmac.digest(secret, info + b"\x01", "sha256")
