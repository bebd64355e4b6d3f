"""A 32-byte seed becomes a mask, added to or taken from a vector in place.

The stream is AES-256 in counter mode over zeros. The counter starts at zero, which is safe since every seed is used
for one vector only: it binds run, round, attempt, model, settings and cohort, and the store lets each be used once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from fedcredit.privacy.secagg.encoding import Words

CHUNK_BYTES = 128 * 1024  # zeros, stream and a piece of the vector stay in the second-level cache
ZEROS = bytes(CHUNK_BYTES)
START = bytes(16)


def add_mask(words: Words, seed: bytes) -> None:
    """Add the seed's mask to the vector in place, mod 2^32 or 2^64 by its type."""
    _apply(words, seed, np.add)


def remove_mask(words: Words, seed: bytes) -> None:
    """Take the seed's mask off the vector in place."""
    _apply(words, seed, np.subtract)


def _apply(words: Words, seed: bytes, operation: np.ufunc) -> None:
    stream = Cipher(AES(seed), CTR(START)).encryptor()
    buffer = bytearray(CHUNK_BYTES)
    # Words are little-endian on every machine, so that masks cancel between machines.
    mask: np.ndarray[Any, Any] = np.frombuffer(buffer, dtype=words.dtype.newbyteorder("<"))
    step = CHUNK_BYTES // words.itemsize
    for at in range(0, len(words), step):
        part = words[at : at + step]
        stream.update_into(ZEROS[: part.nbytes] if part.nbytes < CHUNK_BYTES else ZEROS, buffer)
        operation(part, mask[: len(part)], out=part)
