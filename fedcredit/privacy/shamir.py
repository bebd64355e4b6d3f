"""A 32-byte secret becomes n shares, any t of which give it back and any t - 1 of which say nothing.

Shamir, "How to share a secret", 1979: the secret is the constant term of a random polynomial of degree t - 1 over
GF(p), share x its value at x. p is the least prime above 2^256, so that every 32-byte secret is a field element; a
share is one of 33 bytes. The x of a holder is its index in the roster plus one, which never changes within a run.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence

from fedcredit.errors import FedCreditError

PRIME = 2**256 + 297
SECRET_BYTES = 32
SHARE_BYTES = 33
COMMITMENT_LABEL = b"fedcredit/v1/shamir/commitment"


class ShareInvalid(FedCreditError):
    """Shares are too few, malformed, or do not belong to one secret."""

    code = "share"


def split(secret: bytes, *, threshold: int, holders: Sequence[int]) -> dict[int, bytes]:
    """One share for each holder (by its x >= 1), any `threshold` of which give the secret back.

    Coefficients come from the operating system's randomness, uniform in GF(p).

    >>> shares = split(b"s" * 32, threshold=3, holders=[1, 2, 5, 9])
    >>> combine({x: shares[x] for x in (1, 5, 9)}, threshold=3) == b"s" * 32
    True
    """
    if len(secret) != SECRET_BYTES:
        raise ShareInvalid("secret to share", found=f"{len(secret)} bytes", expected=f"{SECRET_BYTES}")
    if not 1 <= threshold <= len(holders) or len(set(holders)) != len(holders) or min(holders) < 1:
        raise ShareInvalid(
            "sharing", found=f"threshold {threshold} of {len(holders)} holders", expected="distinct x >= 1, t <= n"
        )
    # The highest coefficient may be zero: a polynomial drawn otherwise would not hide perfectly.
    coefficients = [secrets.randbelow(PRIME) for _ in range(threshold - 1)]
    constant = int.from_bytes(secret, "big")
    return {x: _value_at(x, coefficients, constant).to_bytes(SHARE_BYTES, "big") for x in holders}


def _value_at(x: int, coefficients: Sequence[int], constant: int) -> int:
    value = 0
    for coefficient in coefficients:
        value = (value + coefficient) * x % PRIME
    return (value + constant) % PRIME


def weights_at_zero(holders: Sequence[int]) -> list[int]:
    """Lagrange's weights L_x with f(0) = sum of L_x f(x): computed once for all secrets that these holders open.

    >>> weights_at_zero([1, 2]) == [2, PRIME - 1]
    True
    """
    weights = []
    for x in holders:
        numerator, denominator = 1, 1
        for other in holders:
            if other != x:
                numerator = numerator * other % PRIME
                denominator = denominator * (other - x) % PRIME
        weights.append(numerator * pow(denominator, -1, PRIME) % PRIME)
    return weights


def combine(shares: Mapping[int, bytes], *, threshold: int) -> bytes:
    """The secret, from the first `threshold` of the shares. Raises ShareInvalid if they are too few or no secret's."""
    secret = combine_many([shares], threshold=threshold)[0]
    if secret is None:
        raise ShareInvalid("shares of a secret", found="shares that do not belong together", expected="one secret")
    return secret


def combine_many(batches: Sequence[Mapping[int, bytes]], *, threshold: int) -> list[bytes | None]:
    """Several secrets from shares of the same holders; Lagrange's weights are computed once for each set of holders.

    None stands where shares give a field element that is no 32-byte secret: they do not belong together.
    Raises ShareInvalid if shares are too few, or no field elements.
    """
    known: dict[tuple[int, ...], list[int]] = {}
    opened: list[bytes | None] = []
    for shares in batches:
        holders = tuple(sorted(shares)[:threshold])
        if len(holders) < threshold:
            raise ShareInvalid("shares of a secret", found=f"{len(holders)}", expected=f"at least {threshold}")
        if holders not in known:
            known[holders] = weights_at_zero(holders)
        values = [element(shares[x]) for x in holders]
        secret = sum(weight * value for weight, value in zip(known[holders], values, strict=True)) % PRIME
        opened.append(None if secret >> (8 * SECRET_BYTES) else secret.to_bytes(SECRET_BYTES, "big"))
    return opened


def element(share: bytes) -> int:
    """The field element of a share. Raises ShareInvalid unless it has 33 bytes and is below p."""
    value = int.from_bytes(share, "big")
    if len(share) != SHARE_BYTES or value >= PRIME:
        raise ShareInvalid("share", found=f"{len(share)} bytes or a value past the prime", expected="33 bytes below p")
    return value


def commitment(value: bytes, *, context: bytes) -> bytes:
    """SHA-256 that binds to a share or a secret without showing it: 32 bytes.

    It hides since what it hashes is uniform over 256 bits; the context says whose it is, and for whom, so that no
    commitment can stand for another.
    """
    return hashlib.sha256(COMMITMENT_LABEL + len(context).to_bytes(4, "big") + context + value).digest()
