"""A text becomes plain capitals and digits, each with its place in the text: full width, circled, Cyrillic alike."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

# Letters of other scripts that look like Latin ones, and Chinese numerals with both of their zeros.
_ALIKE = str.maketrans(
    "АВЕКМНОРСТУХЅІЈΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "ABEKMHOPCTYXSIJABEZHIKMNOPTYX",
)
_NUMERALS = str.maketrans("〇零一二三四五六七八九壹贰叁肆伍陆柒捌玖幺两", "0012345678912345678912")
_INVISIBLE = ("Cf", "Mn", "Me")  # zero-width signs, soft hyphens, accents and rings that are drawn around a digit

Places = Sequence[int]


def fold(text: str) -> tuple[str, Places]:
    """The text in NFKC capitals with ASCII digits, invisible signs left out, and the place of each letter.

    >>> fold("９1\\u200b④x")
    ('914X', [0, 1, 3, 4])
    """
    if text.isascii():
        return text.upper(), range(len(text))
    pairs = [(letter, place) for place, sign in enumerate(text) for letter in _plain(sign)]
    return "".join(letter for letter, _ in pairs), [place for _, place in pairs]


def squeeze(folded: str, places: Places) -> tuple[str, Places]:
    """The letters and digits alone: what stands between them is left out."""
    if folded.isalnum():
        return folded, places
    kept = [(letter, place) for letter, place in zip(folded, places, strict=True) if letter.isalnum()]
    return "".join(letter for letter, _ in kept), [place for _, place in kept]


def with_numerals(folded: str) -> str:
    """The text with Chinese numerals as digits.

    >>> with_numerals("幺三八零零")
    '13800'
    """
    return folded.translate(_NUMERALS)


@lru_cache(maxsize=2**16)
def _plain(sign: str) -> str:
    letters = [one for one in unicodedata.normalize("NFKC", sign) if unicodedata.category(one) not in _INVISIBLE]
    digits = [unicodedata.decimal(one, None) for one in letters]
    plain = "".join(one if digit is None else str(digit) for one, digit in zip(letters, digits, strict=True))
    return plain.upper().translate(_ALIKE)
