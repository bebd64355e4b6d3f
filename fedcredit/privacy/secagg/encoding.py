"""An update becomes unsigned integers whose sum mod 2^bits is the sum of the updates, and never anything else.

A real coordinate x, |x| <= `real_range`, becomes round(x * scale) in two's complement; the scale is the largest power
of two at which n of the largest magnitude stay below 2^(bits-1), so the sum of n members cannot wrap. Integers (the
weight, counts, histograms) stand beside the reals, inside the mask, each with a stated largest value a member.
What does not fit (out of range, NaN, infinite) is refused before anything is masked: a value that wrapped would be
the wrong model, in silence.

Rounding is to nearest: each member is off by at most half a step, 1/(2 scale), the sum of n by n/(2 scale); at n = 42
and 32 bits that is 1e-6 of `real_range`. (Stochastic rounding would remove a bias that is far below the noise of DP.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import floor, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.privacy.secagg.refusals import EncodingRefused
from fedcredit.trust.keys import transcript

Words = NDArray[np.unsignedinteger[Any]]
EXACT_BITS = 52  # a float64 holds every integer below 2^53, so that no rounding but ours happens


@dataclass(frozen=True)
class Counts:
    """Some non-negative integers beside the reals: their name, how many there are, and the largest of one member."""

    name: str
    size: int
    largest: int


@dataclass(frozen=True)
class Sum:
    """The sum over the survivors: reals (float64) and integers by name (int64)."""

    reals: NDArray[np.float64]
    counts: Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Encoding:
    """`size` reals in [-real_range, real_range], then the counts, for at most `members` institutions.

    Who adds noise before masking includes it in `real_range`.

    Raises EncodingRefused if `bits` (32 or 64) do not hold the sum of that many.
    """

    size: int
    real_range: float
    members: int
    counts: tuple[Counts, ...] = ()
    bits: int = 32

    def __post_init__(self) -> None:
        if self.bits not in (32, 64) or not 0 < self.real_range < float("inf") or self.members < 1 or self.size < 0:
            raise EncodingRefused("secagg encoding", found="sizes out of range", expected="32 or 64 bits, a range > 0")
        if len({field.name for field in self.counts}) < len(self.counts):
            raise EncodingRefused("secagg encoding", found="one name twice", expected="a name for each of the counts")
        for field in self.counts:
            if field.largest * self.members >= 2 ** min(self.bits, 63):
                raise EncodingRefused(
                    f"secagg encoding, {field.name!r}",
                    found=f"{self.members} members with up to {field.largest} each",
                    expected=f"a sum below 2^{self.bits}",
                    hint="bits=64",
                )
        if self.scale < 1 / self.real_range:
            raise EncodingRefused(
                "secagg encoding", found="no bits left for the reals", expected="more", hint="bits=64"
            )

    @cached_property
    def scale(self) -> float:
        """Steps per unit: the largest power of two at which `members` largest values sum to less than 2^(bits-1)."""
        # One step of room a member covers rounding up; EXACT_BITS caps the scale where floats would end first.
        room = min((2 ** (self.bits - 1) - 1) / self.members - 1, float(2**EXACT_BITS))
        return float(2.0 ** floor(log2(room / self.real_range)))

    @property
    def dtype(self) -> type[np.unsignedinteger[Any]]:
        """uint32 or uint64."""
        return np.uint32 if self.bits == 32 else np.uint64

    @property
    def length(self) -> int:
        """Words on the wire: reals and counts."""
        return self.size + sum(field.size for field in self.counts)

    def to_bytes(self) -> bytes:
        """All of it in one way, for the plan's digest."""
        numbers = (self.size, self.real_range.hex(), self.members, self.bits)
        fields = [part for field in self.counts for part in (field.name, str(field.size), str(field.largest))]
        return transcript(*(str(part).encode() for part in (*numbers, *fields)))

    def encode(self, reals: NDArray[Any], counts: Mapping[str, NDArray[Any] | int] | None = None) -> Words:
        """Words (length,), that sum mod 2^bits to the updates' sum. Raises EncodingRefused if one does not fit."""
        values = np.asarray(reals, dtype=np.float64)
        if values.shape != (self.size,):
            raise EncodingRefused("update", found=f"shape {values.shape}", expected=f"({self.size},)")
        # NaN compares false with everything, so this one line refuses it as well as both infinities.
        if not bool(np.all(np.abs(values) <= self.real_range)):
            raise EncodingRefused(
                "update",
                found="a coordinate that is out of range, infinite or not a number",
                expected=f"finite values within {self.real_range:g} of zero",
                hint="clip the update; a value that wrapped around would be a wrong model in silence",
            )
        words = np.empty(self.length, dtype=self.dtype)
        words[: self.size] = np.rint(values * self.scale).astype(np.int64).astype(self.dtype)
        self._encode_counts(words, dict(counts or {}))
        return words

    def _encode_counts(self, words: Words, counts: dict[str, NDArray[Any] | int]) -> None:
        at = self.size
        for field in self.counts:
            values = np.atleast_1d(np.asarray(counts.pop(field.name, -1)))
            if values.shape != (field.size,) or values.dtype.kind not in "iu":
                raise EncodingRefused(f"counts {field.name!r}", found="another shape or type", expected="integers")
            if not bool(np.all((values >= 0) & (values <= field.largest))):
                raise EncodingRefused(
                    f"counts {field.name!r}", found="none, or one out of range", expected="all in range"
                )
            words[at : at + field.size] = values.astype(self.dtype)
            at += field.size
        if counts:
            raise EncodingRefused("counts", found=f"{sorted(counts)[0]!r}", expected="those of the encoding only")

    def decode(self, words: Words) -> Sum:
        """The sum that the words stand for.

        Raises EncodingRefused if they cannot be a sum of `members` updates: so look masks that did not cancel, after
        institutions were given different models.
        """
        if words.dtype != self.dtype or words.shape != (self.length,):
            raise EncodingRefused("sum", found=f"{words.dtype} {words.shape}", expected=f"({self.length},)")
        signed = words[: self.size].view(np.int32 if self.bits == 32 else np.int64)
        reals = signed.astype(np.float64) / self.scale
        counts, at = {}, self.size
        bound = self.members * (self.real_range + 1 / self.scale)
        possible = bool(np.all(np.abs(reals) <= bound))
        for field in self.counts:
            part = words[at : at + field.size]
            possible &= bool(np.all(part <= field.largest * self.members))
            counts[field.name] = part.astype(np.int64)
            at += field.size
        if not possible:
            raise EncodingRefused(
                "sum",
                found="values that no sum of updates has",
                expected=f"at most {self.members} times the largest update",
                hint="institutions that got different models or settings have masks that do not cancel",
            )
        return Sum(reals, counts)
