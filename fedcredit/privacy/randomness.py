"""A key of the operating system becomes batches and noise that nobody can replay: AES-256 in counter mode."""

from __future__ import annotations

import math
import os

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray
from torch import Tensor

KEY_BYTES = 32
UNIFORM_BITS = 53  # what a float64 in [0, 1) can hold evenly
PIECE_BYTES = 1 << 20  # of zeros that are encrypted at a time


class Stream:
    """A cryptographic generator (CSPRNG): the keystream of AES-256-CTR under 32 bytes from `os.urandom`.

    There is no seed: none can be given, found in a log or sent, and the key can be neither read, copied nor pickled.
    Whoever knows any part of the output can say nothing of the rest without breaking AES. A process that was forked
    draws a key of its own. Nothing of the study's generators or of torch's has a part in it.

    >>> bool((Stream().words(4) == Stream().words(4)).any())
    False
    """

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        # The counter starts at 0 for every stream: no two streams have the same key.
        cipher = Cipher(algorithms.AES256(os.urandom(KEY_BYTES)), modes.CTR(bytes(16)))
        self._process, self._cipher = os.getpid(), cipher.encryptor()

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a stream of noise cannot be copied or stored: its twin would draw the same noise")

    def words(self, count: int) -> NDArray[np.uint64]:
        """`count` words of 64 fair bits each."""
        if self._process != os.getpid():
            self._renew()
        left, drawn = 8 * count, []
        while left > PIECE_BYTES:
            drawn.append(self._cipher.update(ZEROS))
            left -= PIECE_BYTES
        drawn.append(self._cipher.update(ZEROS[:left]))
        return np.frombuffer(b"".join(drawn) if len(drawn) > 1 else drawn[0], dtype=np.uint64)

    def uniforms(self, count: int) -> NDArray[np.float64]:
        """Multiples of 2^-53 in [0, 1), each with the same chance."""
        drawn: NDArray[np.float64] = (self.words(count) >> np.uint64(64 - UNIFORM_BITS)) * np.float64(
            2.0**-UNIFORM_BITS
        )
        return drawn

    def chosen(self, count: int, *, chance: float) -> NDArray[np.bool_]:
        """`count` independent coins that fall on True with `chance`, up to 2^-53: the members of a Poisson batch."""
        return self.uniforms(count) < chance

    def below(self, limits: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each limit a whole number from 0 to the one below it, uniform up to limit * 2^-53."""
        return (self.uniforms(len(limits)) * limits).astype(np.int64)

    def normals(self, count: int) -> Tensor:
        """`count` independent standard normals in float64 (Box and Muller 1958, from 106 bits a pair).

        The radius ends at sqrt(2 * 53 * log 2) = 8.57; a true pair lies beyond it with chance 2^-53.
        """
        half = -(-count // 2)
        whole = (self.words(2 * half) >> np.uint64(64 - UNIFORM_BITS)).view(np.int64)
        radius, angle = torch.from_numpy(whole).double().reshape(2, half)
        # One minus a uniform in [0, 1) lies in (0, 1], where the logarithm is finite.
        radius = radius.mul_(-(2.0**-UNIFORM_BITS)).log1p_().mul_(-2.0).sqrt_()
        angle = angle.mul_(2 * math.pi * 2.0**-UNIFORM_BITS)
        drawn = torch.empty(2 * half, dtype=torch.float64)
        torch.cos(angle, out=drawn[:half]).mul_(radius)
        torch.sin(angle, out=drawn[half:]).mul_(radius)
        return drawn[:count]


ZEROS = memoryview(bytes(PIECE_BYTES))
