"""A dealer's shares become ciphertext for one holder, and its pair seeds ciphertext under the key that it shares out.

AES-256-GCM under a key from the secret that the pair agreed on and confirmed. HPKE to the holder's run key would rest
on the same two families of mathematics, with no more forward secrecy within a run, at 220 us to seal and open a share
in place of some 20 (42 members: 9 ms of a round). Every key is of one (round, attempt, dealer, holder) and seals one
message, so the nonce can be constant.
"""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fedcredit.privacy.secagg.agreement import expand
from fedcredit.privacy.secagg.context import RoundId
from fedcredit.privacy.secagg.refusals import SharesRefused
from fedcredit.privacy.shamir import SHARE_BYTES
from fedcredit.trust.keys import transcript

SEAL_LABEL = b"fedcredit/v1/secagg/seal"
WRAP_LABEL = b"fedcredit/v1/secagg/wrap"
NONCE = bytes(12)


def seal(shares: tuple[bytes, bytes], *, secret: bytes, at: RoundId, dealer: int, holder: int) -> bytes:
    """The holder's shares of the dealer's b and k: 82 bytes."""
    return AESGCM(_seal_key(secret, at, dealer, holder)).encrypt(NONCE, shares[0] + shares[1], None)


def unseal(sealed: bytes, *, secret: bytes, at: RoundId, dealer: int, holder: int) -> tuple[bytes, bytes]:
    """The shares of the dealer's b and k. Raises SharesRefused if it is not what the dealer sealed for this."""
    try:
        opened = AESGCM(_seal_key(secret, at, dealer, holder)).decrypt(NONCE, sealed, None)
    except InvalidTag:
        raise SharesRefused(
            "secagg shares", found="a sealed share that does not open", expected="the dealer's, for this round"
        ) from None
    return opened[:SHARE_BYTES], opened[SHARE_BYTES:]


def _seal_key(secret: bytes, at: RoundId, dealer: int, holder: int) -> bytes:
    return expand(secret, transcript(SEAL_LABEL, at.to_bytes(), dealer.to_bytes(2, "big"), holder.to_bytes(2, "big")))


def wrap(seeds: Mapping[int, bytes], *, key: bytes, at: RoundId, dealer: int) -> bytes:
    """The dealer's base seeds with all peers, in their order, under its k."""
    return AESGCM(_wrap_key(key, at, dealer)).encrypt(NONCE, b"".join(seeds[peer] for peer in sorted(seeds)), None)


def unwrap(wrapped: bytes, *, key: bytes, at: RoundId, dealer: int, peers: list[int]) -> dict[int, bytes]:
    """The base seeds by peer. Raises SharesRefused if they are not what the dealer wrapped under this k."""
    try:
        seeds = AESGCM(_wrap_key(key, at, dealer)).decrypt(NONCE, wrapped, None)
    except InvalidTag:
        raise SharesRefused("secagg seeds", found="seeds that do not unwrap", expected="the dealer's") from None
    if len(seeds) != 32 * len(peers):
        raise SharesRefused("secagg seeds", found="another number of seeds", expected="one for each peer")
    return {peer: seeds[32 * at_ : 32 * at_ + 32] for at_, peer in enumerate(sorted(peers))}


def _wrap_key(key: bytes, at: RoundId, dealer: int) -> bytes:
    return expand(key, transcript(WRAP_LABEL, at.to_bytes(), dealer.to_bytes(2, "big")))
