"""Named values become the kinds of identifier that they hold, whole, disguised, or split over two of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import combinations, pairwise

from fedcredit.data.governance.detectors import find
from fedcredit.data.governance.disguises import readings
from fedcredit.data.governance.folding import fold, squeeze
from fedcredit.data.governance.names import Names

Value = str | bytes | bool | int | float | Sequence[int] | Sequence[float] | Sequence[str] | Sequence[bytes]

MAX_TEXT = 2_000  # no field of ours is longer; decoding a longer one would be work that a stranger can order
MAX_WORDS = 6  # a definition has more, a key or a code has none
MAX_HAN = 6
MAX_DIGITS = 10  # of an integer or of a float's decimals: a mobile number has 11
_MOST_PAIRED = 24
_MOBILE = re.compile("1[3-9][0-9]{9}")
_LONG = re.compile("[0-9]{15,}")
_WORD = re.compile(r"[A-Za-z]{2,}")
_HAN = re.compile("[㐀-䶿一-鿿]")
_OCR = str.maketrans("OIL", "011")


def scan(fields: Iterable[tuple[str, Value]], *, names: Names | None = None) -> list[tuple[str, str]]:
    """Where something was found, and its kind; no part of the value itself.

    >>> scan([("loss", 0.25), ("num-examples", 13800138000), ("note", "tel 138-0013-8000")])
    [('num-examples', 'digits'), ('note', 'mobile')]
    >>> scan([("a", "910001"), ("loss", 0.25), ("b", 13800), ("c", 138000)])
    [('b + c', 'mobile'), ('all fields', 'digits'), ('all fields', 'mobile')]
    """
    fields = list(fields)
    found = [(where, kind) for where, value in fields for kind in _kinds_of(value, names)]
    if found:
        return found
    pieces = [(where, piece) for where, value in fields if (piece := _piece(value))]
    pairs = combinations(pieces, 2) if len(pieces) <= _MOST_PAIRED else pairwise(pieces)
    joined = [(f"{a} + {b}", one + two) for (a, one), (b, two) in pairs]
    joined.append(("all fields", "".join(piece for _, piece in pieces)))
    return [(where, kind) for where, text in joined for kind in sorted(_codes(text) | _named(text, names))]


def kinds_in(text: str, *, names: Names | None = None) -> set[str]:
    """The kinds of identifier that a text holds, separators, width, script and the usual codings aside.

    Those of the first reading that holds any: one is enough to keep a message here.

    >>> kinds_in("Ｙ3VzdG9tZXIgMTM4MDAxMzgwMDA="), kinds_in("head.weight")
    ({'mobile'}, set())
    """
    if len(text) > MAX_TEXT:
        return {"text"}
    for one in _unfolding(text):
        found = {hit.kind for hit in find(one, names=names)} | _codes(one)
        if len(_HAN.findall(one)) >= MAX_HAN or len(_WORD.findall(one)) >= MAX_WORDS:
            found.add("text")
        if found:
            return found
    return set()


def _unfolding(text: str) -> Iterator[str]:
    """The text, then its readings, then those of the text backwards; each once."""
    yield text
    said = readings(text)
    yield from sorted(said - {text})
    yield from sorted({one[::-1] for one in said} | readings(text[::-1]) - said)


def _kinds_of(value: Value, names: Names | None) -> list[str]:
    if isinstance(value, bool):
        return []
    if isinstance(value, str):
        return sorted(kinds_in(value, names=names))
    if isinstance(value, bytes):
        return ["bytes"] if value else []  # no message of ours has any
    if isinstance(value, int | float):
        return ["digits"] if written_digits(value) > MAX_DIGITS else []
    return sorted({kind for one in value for kind in _kinds_of(one, names)})


def written_digits(number: float) -> int:
    """How many digits a number is written with, zeros before the first and behind the last of a fraction aside.

    >>> written_digits(13800138000.0), written_digits(1.38001), written_digits(-2e-07)
    (11, 6, 1)
    """
    if isinstance(number, int):
        return len(str(abs(number)))
    written = Decimal(repr(number)).normalize().as_tuple()
    if not isinstance(written.exponent, int):
        return MAX_DIGITS + 1  # a NaN has 51 bits to write in
    return len(written.digits) + max(written.exponent, 0)


def _codes(text: str) -> set[str]:
    """Codes anywhere in the text, with everything but letters and digits left out."""
    letters, _ = squeeze(*fold(text))
    found = set()
    for one in {letters, letters.translate(_OCR)}:
        found |= {hit.kind for hit in find(one, sentences=False)}
        found |= {kind for kind, form in (("mobile", _MOBILE), ("digits", _LONG)) if form.search(one)}
    return found


def _named(text: str, names: Names | None) -> set[str]:
    return {"name"} if names is not None and names.spans(squeeze(*fold(text))[0]) else set()


def _piece(value: Value) -> str:
    """What a field could give to a number that is split: texts, and integers of some length."""
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else ""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and value > 99 else ""
