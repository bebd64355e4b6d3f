"""An institution's identity becomes a signature that stands if either of two families of mathematics does.

An identity is an Ed25519 key and an ML-DSA-65 key (FIPS 204) that always sign together; a signature verifies only if
both do, so a break of elliptic curves by a quantum computer, or of lattices by a better idea, forges nothing alone.

What is signed is a transcript: the suite's name, a context label that says what kind of statement it is, both public
keys and the message, each with its length before it. No statement can be read as another one, under another label,
or as a signature of half of the identity.

    identity = Identity.generate()
    identity.save(Path("institution.key"))              # mode 0600; a laxer mode is refused at loading
    signature = identity.sign(message, context=b"fedcredit/v1/secagg/keys")
    identity.public.verify(signature, message, context=b"fedcredit/v1/secagg/keys")
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from fedcredit.errors import FedCreditError

IDENTITY_SUITE = b"fedcredit/v1/identity/Ed25519+ML-DSA-65"
ED25519_PUBLIC, MLDSA65_PUBLIC = 32, 1952  # RFC 8032; FIPS 204, table 2
ED25519_SIGNATURE, MLDSA65_SIGNATURE = 64, 3309
PUBLIC_BYTES = ED25519_PUBLIC + MLDSA65_PUBLIC
SIGNATURE_BYTES = ED25519_SIGNATURE + MLDSA65_SIGNATURE
SEED_BYTES = 32  # of either private key
FILE_HEAD = IDENTITY_SUITE + b"\n"
MAX_CONTEXT_BYTES = 255  # FIPS 204, 5.2


class Verified:
    """Digests of signatures that this process has verified, the newest of them.

    A server, or a study whose institutions are one process, is shown the same signature many times, and half a
    millisecond each is most of what a small masked round costs. Only what verified is remembered.
    """

    def __init__(self, most: int) -> None:
        self._most, self._digests = most, dict[bytes, None]()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._digests

    def add(self, digest: bytes) -> None:
        """Remember one, and forget the oldest where there are too many."""
        self._digests[digest] = None
        if len(self._digests) > self._most:
            self._digests.pop(next(iter(self._digests)), None)

    def clear(self) -> None:
        """Forget all: what a benchmark does that stands for many machines."""
        self._digests.clear()


VERIFIED = Verified(most=65_536)  # 32 bytes each, some 8 MB with their places


class SignatureInvalid(FedCreditError):
    """A signature is not this identity's over this message under this label."""

    code = "signature"


class KeyFileRefused(FedCreditError):
    """A key file is missing, of another format, or open to others than its owner."""

    code = "key-file"


def transcript(*parts: bytes) -> bytes:
    """The parts one after the other, each with its length before it, so that no two lists give the same bytes.

    >>> transcript(b"ab", b"c") == transcript(b"a", b"bc")
    False
    """
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


@dataclass(frozen=True, repr=False)
class PublicIdentity:
    """Both public keys of an institution: what the others pin, before and outside of any run."""

    ed25519: bytes
    mldsa65: bytes

    def __post_init__(self) -> None:
        if len(self.ed25519) != ED25519_PUBLIC or len(self.mldsa65) != MLDSA65_PUBLIC:
            raise SignatureInvalid(
                "public identity",
                found=f"keys of {len(self.ed25519)} and {len(self.mldsa65)} bytes",
                expected=f"{ED25519_PUBLIC} and {MLDSA65_PUBLIC}",
                hint="an identity always has both an Ed25519 and an ML-DSA-65 key",
            )

    def __repr__(self) -> str:
        return f"PublicIdentity({self.fingerprint[:16]}...)"

    def to_bytes(self) -> bytes:
        """Ed25519 key, then ML-DSA-65 key: 1984 bytes."""
        return self.ed25519 + self.mldsa65

    @classmethod
    def from_bytes(cls, data: bytes) -> PublicIdentity:
        """The identity in exactly 1984 bytes. Raises SignatureInvalid at any other length."""
        return cls(data[:ED25519_PUBLIC], data[ED25519_PUBLIC:])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of both keys in hex: what two people read to each other on the telephone."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @cached_property
    def _keys(self) -> tuple[Ed25519PublicKey, MLDSA65PublicKey]:
        return Ed25519PublicKey.from_public_bytes(self.ed25519), MLDSA65PublicKey.from_public_bytes(self.mldsa65)

    def verify(self, signature: bytes, message: bytes, *, context: bytes) -> None:
        """Return if both halves of the signature are this identity's over the message under this label.

        Raises SignatureInvalid otherwise: also for a signature of one half only, or of any other length.
        """
        if len(signature) != SIGNATURE_BYTES:
            raise _invalid(f"{len(signature)} bytes", f"{SIGNATURE_BYTES} bytes: Ed25519 and ML-DSA-65, both")
        signed = _signed(self, message, context=context)
        # Both keys, the label and the message are in what is signed, so this digest names the whole question.
        question = hashlib.sha256(transcript(signed, signature)).digest()
        if question in VERIFIED:
            return
        classical, lattice = self._keys
        try:
            classical.verify(signature[:ED25519_SIGNATURE], signed)
            lattice.verify(signature[ED25519_SIGNATURE:], signed, context)
        except InvalidSignature:
            raise _invalid("one that does not verify", "an Ed25519 and an ML-DSA-65 signature, both valid") from None
        VERIFIED.add(question)


@dataclass(frozen=True, repr=False)
class Identity:
    """Both private keys of an institution, as the seeds they are made from; never printed."""

    ed25519_seed: bytes
    mldsa65_seed: bytes

    def __repr__(self) -> str:
        return f"Identity({self.public.fingerprint[:16]}...)"

    @classmethod
    def generate(cls) -> Identity:
        """A new identity from the operating system's randomness."""
        return cls(secrets.token_bytes(SEED_BYTES), secrets.token_bytes(SEED_BYTES))

    @cached_property
    def _keys(self) -> tuple[Ed25519PrivateKey, MLDSA65PrivateKey]:
        return (
            Ed25519PrivateKey.from_private_bytes(self.ed25519_seed),
            MLDSA65PrivateKey.from_seed_bytes(self.mldsa65_seed),
        )

    @cached_property
    def public(self) -> PublicIdentity:
        """The keys that others pin."""
        classical, lattice = self._keys
        return PublicIdentity(classical.public_key().public_bytes_raw(), lattice.public_key().public_bytes_raw())

    def sign(self, message: bytes, *, context: bytes) -> bytes:
        """Ed25519 and ML-DSA-65 signature over the message under a label that says what kind of statement it is."""
        signed = _signed(self.public, message, context=context)
        classical, lattice = self._keys
        return classical.sign(signed) + lattice.sign(signed, context)

    def save(self, path: Path) -> None:
        """Write a new key file of mode 0600, whole or not at all. Raises KeyFileRefused if there is one already."""
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(FILE_HEAD + (self.ed25519_seed + self.mldsa65_seed).hex().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)  # unlike a rename, this never replaces an identity that exists
        except FileExistsError:
            raise KeyFileRefused(
                path.name, found="a key file", expected="none", hint="an identity is replaced by hand, not by accident"
            ) from None
        finally:
            draft.unlink()

    @classmethod
    def load(cls, path: Path) -> Identity:
        """The identity in a key file. Raises KeyFileRefused if others may read it, or if it is none."""
        require_private(path)
        data = path.read_bytes()
        seeds = data.removeprefix(FILE_HEAD).removesuffix(b"\n")
        if not data.startswith(FILE_HEAD) or len(seeds) != 4 * SEED_BYTES:
            raise KeyFileRefused(path.name, found="another format", expected=IDENTITY_SUITE.decode())
        try:
            raw = bytes.fromhex(seeds.decode("ascii"))
        except ValueError:
            raise KeyFileRefused(path.name, found="seeds that are not hexadecimal", expected="128 digits") from None
        return cls(raw[:SEED_BYTES], raw[SEED_BYTES:])


def require_private(path: Path) -> None:
    """Return if only its owner may read or write the file. Raises KeyFileRefused otherwise."""
    if not path.is_file():
        raise KeyFileRefused(path.name, found="no file", expected="a key file")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise KeyFileRefused(path.name, found=f"mode {mode:04o}", expected="0600", hint=f"chmod 600 {path.name}")


def _signed(public: PublicIdentity, message: bytes, *, context: bytes) -> bytes:
    if not 0 < len(context) <= MAX_CONTEXT_BYTES:
        raise ValueError(f"a context label has 1 to {MAX_CONTEXT_BYTES} bytes")
    return transcript(IDENTITY_SUITE, context, public.ed25519, public.mldsa65, message)


def _invalid(found: str, expected: str) -> SignatureInvalid:
    return SignatureInvalid("signature", found=found, expected=expected)
