"""Companies become small whole numbers, a batch at a time: a hash table that numpy walks."""

from __future__ import annotations

import secrets

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedcredit.data.identifiers import USCC_LENGTH
from fedcredit.errors import TableError

WORDS = 3  # a code of 18 letters in three words of 8 bytes, so that comparing two is three comparisons
SLOTS_PER_COMPANY = 8  # at least, and a power of two; nearly all companies are then found at the first look


class Codes:
    """The number of each company, 0, 1, 2.. in order of appearance.

    A dict of 120,000 texts needs 0.6 us a look-up, as much as everything else that a row costs; this needs 0.06.

    >>> codes = Codes()
    >>> codes.encode(pa.array(["914403001922038216", "91110000600037341L", "914403001922038216"])).tolist()
    [0, 1, 0]
    >>> codes.companies().to_pylist()
    ['914403001922038216', '91110000600037341L']
    """

    def __init__(self, companies: pa.Array | None = None) -> None:
        self._size = 0
        self._words = np.zeros((1024, WORDS), np.uint64)
        self._slots = np.full(SLOTS_PER_COMPANY * len(self._words), -1, np.int32)
        # Secret factors: nobody who chooses the companies that he sends can choose where they collide.
        self._factors = np.array([secrets.randbits(64) | 1 for _ in range(WORDS)], np.uint64)
        if companies is not None:
            self._add(_words_of(companies))

    def __len__(self) -> int:
        return self._size

    def encode(self, companies: pa.Array) -> NDArray[np.int32]:
        """The number of each company; one never seen gets the next.

        Raises:
            TableError: an entry has not the length of a social credit code.
        """
        words = _words_of(companies)
        codes = self._find(words)
        new = codes < 0
        if new.any():
            seen_first = companies.filter(pa.array(new)).dictionary_encode()
            codes[new] = self._size + seen_first.indices.to_numpy()
            self._add(_words_of(seen_first.dictionary))
        return codes

    def companies(self, since: int = 0) -> pa.Array:
        """The companies numbered `since` and above."""
        letters = self._words[since : self._size].view(np.uint8).reshape(-1, 8 * WORDS)[:, :USCC_LENGTH]
        ends = np.arange(len(letters) + 1, dtype=np.int32) * USCC_LENGTH
        return pa.StringArray.from_buffers(len(letters), pa.py_buffer(ends), pa.py_buffer(letters.tobytes()))

    def forget(self, since: int) -> None:
        """Undo: the companies numbered `since` and above were never stored."""
        self._size, kept = 0, self._words[:since].copy()
        self._slots.fill(-1)
        self._add(kept)

    def _find(self, words: NDArray[np.uint64]) -> NDArray[np.int32]:
        """The number of each company, -1 for one never seen."""
        codes = np.full(len(words), -1, np.int32)
        left, at = np.arange(len(words)), self._first_slots(words)
        while left.size:
            here = self._slots.take(at)
            apart = self._words.take(here, axis=0) ^ words  # an empty slot says -1: compared, but not believed
            is_taken, is_same = here >= 0, (apart[:, 0] | apart[:, 1] | apart[:, 2]) == 0
            codes[left] = np.where(is_taken & is_same, here, -1)
            goes_on = np.flatnonzero(is_taken & ~is_same)
            left, words = left.take(goes_on), words.take(goes_on, axis=0)
            at = (at.take(goes_on) + 1) & (len(self._slots) - 1)
        return codes

    def _add(self, words: NDArray[np.uint64]) -> None:
        """Number companies that differ from each other and from all before."""
        size = self._size + len(words)
        if size > len(self._words):
            room = np.zeros((1 << size.bit_length(), WORDS), np.uint64)
            room[: self._size] = self._words[: self._size]
            self._words = room
            self._slots = np.full(SLOTS_PER_COMPANY * len(room), -1, np.int32)
            self._settle(0, self._size)
        self._words[self._size : size] = words
        self._settle(self._size, size)
        self._size = size

    def _settle(self, begin: int, end: int) -> None:
        """Give every company its slot: its first choice, or the next that is free."""
        codes, at = np.arange(begin, end, dtype=np.int32), self._first_slots(self._words[begin:end])
        while codes.size:
            is_free = self._slots[at] < 0
            self._slots[at[is_free]] = codes[is_free]  # of several that want one slot, one gets it
            is_homeless = self._slots[at] != codes
            codes, at = codes[is_homeless], (at[is_homeless] + 1) & (len(self._slots) - 1)

    def _first_slots(self, words: NDArray[np.uint64]) -> NDArray[np.int64]:
        first, second, third = self._factors
        mixed = words[:, 0] * first + words[:, 1] * second + words[:, 2] * third
        mixed = (mixed ^ (mixed >> np.uint64(32))) * first
        return np.asarray((mixed >> np.uint64(33)).astype(np.int64) & np.int64(len(self._slots) - 1), dtype=np.int64)


def _words_of(companies: pa.Array) -> NDArray[np.uint64]:
    words = np.zeros((len(companies), 8 * WORDS), np.uint8)
    if len(companies):
        lengths = pc.min_max(pc.binary_length(companies)).as_py()
        if companies.null_count or (lengths["min"], lengths["max"]) != (USCC_LENGTH, USCC_LENGTH):
            raise TableError("companies", found="one of another length", expected=f"{USCC_LENGTH} characters")
        _, offsets, letters = companies.buffers()
        begin = np.frombuffer(offsets, np.int32)[companies.offset]
        text = np.frombuffer(letters, np.uint8)[begin : begin + len(companies) * USCC_LENGTH]
        words[:, :USCC_LENGTH] = text.reshape(-1, USCC_LENGTH)
    return words.view(np.uint64)
