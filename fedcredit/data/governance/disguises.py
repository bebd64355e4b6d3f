"""A text becomes the texts that it may stand for: percent signs, entities, hex, base32, base64, Chinese numerals."""

from __future__ import annotations

import base64
import binascii
import contextlib
import html
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

from fedcredit.data.governance.folding import fold, with_numerals

DEPTH = 3  # base64 of hex of a percent-coded text
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}[ :\\x-]{0,3}){8,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_BASE32 = re.compile(r"[A-Z2-7]{8,}={0,6}")
_ESCAPED = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2}))")
_INVISIBLE = re.compile("[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_GAP = re.compile(r"[\s-]+")
_RUN = re.compile(rb"[\x20-\x7e]{8,}")


def readings(text: str, *, depth: int = DEPTH) -> set[str]:
    """The text, and what it says when decoded, up to `depth` codings one inside the other.

    >>> coded = base64.b64encode(b"tel 13800138000").decode()
    >>> "tel 13800138000" in readings(f"token={coded};")
    True
    """
    found = {text}
    fresh = {text}
    for _ in range(depth):
        fresh = {said for one in fresh for said in _decoded(one)} - found
        found |= fresh
    return found | {with_numerals(fold(one)[0]) for one in found}


def _decoded(text: str) -> Iterator[str]:
    plain = text if text.isascii() else with_numerals(_INVISIBLE.sub("", unicodedata.normalize("NFKC", text)))
    for said in (plain, _GAP.sub("", plain), unquote(plain), html.unescape(plain), _ESCAPED.sub(_sign, plain)):
        if said != text:
            yield said
    for token in _HEX.findall(plain):
        yield from _texts(bytes.fromhex(digits[: len(digits) // 2 * 2]) if (digits := _hex(token)) else b"")
    for token in _BASE64.findall(plain):
        # It may start anywhere in a longer word; four letters make three bytes.
        for start in range(4):
            yield from _texts(_from_base64(token[start:]))
    for token in _BASE32.findall(plain.upper()):
        for start in range(8):
            yield from _texts(_from_base32(token[start:]))
    for decode in (base64.b85decode, base64.a85decode):
        try:
            yield from _texts(decode(plain.strip().encode("ascii", "ignore")))
        except ValueError:
            continue


def _hex(token: str) -> str:
    return re.sub(r"\\x|[^0-9A-Fa-f]", "", token)


def _sign(escaped: re.Match[str]) -> str:
    return chr(int(escaped[1] or escaped[2], 16))


def _from_base64(token: str) -> bytes:
    letters = token.rstrip("=").replace("-", "+").replace("_", "/")
    letters = letters[: len(letters) - 1] if len(letters) % 4 == 1 else letters
    return base64.b64decode(letters + "=" * (-len(letters) % 4))


def _from_base32(token: str) -> bytes:
    letters = token.rstrip("=").upper()
    letters = letters[: len(letters) // 8 * 8 + {0: 0, 1: 0, 2: 2, 3: 2, 4: 4, 5: 5, 6: 5, 7: 7}[len(letters) % 8]]
    try:
        return base64.b32decode(letters + "=" * (-len(letters) % 8))
    except binascii.Error:  # a letter's case is lost on the way in, so a few words look like base32 and are not
        return b""


def _texts(content: bytes) -> Iterator[str]:
    """Readable runs of the bytes; what of them is UTF-8, as a code may begin inside a word; GB 18030 where all is."""
    if content.isascii():
        yield content.decode()
        return
    yield from (run.decode() for run in _RUN.findall(content))
    yield content.decode("utf-8", "ignore")
    with contextlib.suppress(UnicodeDecodeError):
        yield content.decode("gb18030")
