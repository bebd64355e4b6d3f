"""Masks: a stream of the seed, added and taken off."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from fedcredit.privacy.secagg.agreement import expand
from fedcredit.privacy.secagg.masks import CHUNK_BYTES, add_mask, remove_mask

SEED = bytes(range(32))


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize("length", [1, 7, CHUNK_BYTES // 8, CHUNK_BYTES // 4, CHUNK_BYTES // 4 + 1, 100_003])
def test_mask_is_the_aes_256_counter_stream_whatever_the_length(dtype: type[np.uint32], length: int) -> None:
    words = np.zeros(length, dtype=dtype)
    add_mask(words, SEED)
    stream = Cipher(algorithms.AES(SEED), modes.CTR(bytes(16))).encryptor().update(bytes(words.nbytes))
    assert words.tobytes() == stream


def test_removing_what_was_added_gives_the_vector_back() -> None:
    plain = np.random.default_rng(0).integers(0, 2**32, 70_000, dtype=np.uint32)
    words = plain.copy()
    add_mask(words, SEED)
    assert np.count_nonzero(words == plain) < 5
    remove_mask(words, SEED)
    assert np.array_equal(words, plain)


def test_pairwise_masks_of_all_peers_sum_to_zero() -> None:
    seeds = {(i, j): bytes([i, j]) * 16 for i in range(5) for j in range(5) if i < j}
    total = np.zeros(1000, dtype=np.uint32)
    for me in range(5):
        for (i, j), seed in seeds.items():
            if me in (i, j):
                (add_mask if me == i else remove_mask)(total, seed)
    assert not total.any()


def test_expand_is_hkdf_expand_of_rfc_5869() -> None:
    for info in (b"", b"fedcredit", b"x" * 300):
        assert expand(SEED, info) == HKDFExpand(SHA256(), 32, info).derive(SEED)
