"""The reasons of a batch become texts for the score book, an object a level; a caller reads that of its own level."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any, get_args

from fedcredit.credit.sentences import Language, as_dict
from fedcredit.data.schema import Table
from fedcredit.explain import explain_levels
from fedcredit.models.bundle import Bundle

LEVELS = (2, 3, 4)  # of data_scientist, institution and auditor; see server/scoring/grades.py
FORM = 1
MOST_BYTES = 1 << 18  # of an object; five reasons and five strengths in two languages take a fortieth
UNKNOWN = 5  # of reasons that do not say


@dataclass(frozen=True)
class Seen:
    """What a caller sees: reasons, or none; `is_hidden` where there are some, all made for a higher level."""

    reasons: dict[str, Any] | None
    is_hidden: bool


def write_reasons(bundle: Bundle, table: Table) -> dict[str, str]:
    """For each company of the table, the text that the book keeps.

    Each level has an object of its own, made without what is above it, in Chinese and English. It is packed, since the
    sentences of a company repeat each other: a quarter of the room.

    Raises:
        ModelError: the table is not of the model's schema, or a column has no typical value in the dictionary.
    """
    found = explain_levels(bundle, table, levels=LEVELS)
    texts = {}
    for row, company in enumerate(found[0].scores["company"].tolist()):
        levels = {
            str(one.reasons.level): _packed(
                {language: as_dict(one.reasons, row, language=language) for language in get_args(Language)}
            )
            for one in found
        }
        texts[str(company)] = json.dumps({"form": FORM, "levels": levels})
    return texts


def read_reasons(text: str | None, *, level: int, language: Language) -> Seen:
    """The reasons made for the highest level that is not above the caller's; a text of no known form has none.

    A text that is one object, with the level that it was made for, is read too. The object says its level itself:
    one that says none, or a higher one, is not shown.

    >>> read_reasons('{"level": 4, "reasons": []}', level=3, language="en")
    Seen(reasons=None, is_hidden=True)
    """
    try:
        kept = json.loads(text) if text else None
        if not isinstance(kept, dict):
            return Seen(None, is_hidden=False)
        if "levels" not in kept:
            return _shown(kept, level=level)
        mine = [one for one in LEVELS if one <= level and str(one) in kept["levels"]]
        if not mine:
            return Seen(None, is_hidden=bool(kept["levels"]))
        return _shown(_unpacked(kept["levels"][str(mine[-1])])[language], level=level)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, zlib.error):
        return Seen(None, is_hidden=False)


def _shown(reasons: dict[str, Any], *, level: int) -> Seen:
    said = reasons.get("level", UNKNOWN)
    is_shown = type(said) is int and said <= level
    return Seen(reasons if is_shown else None, is_hidden=not is_shown)


def _packed(reasons: dict[str, Any]) -> str:
    plain = json.dumps(reasons, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return b64encode(zlib.compress(plain.encode())).decode()


def _unpacked(text: str) -> Any:
    stream = zlib.decompressobj()
    plain = stream.decompress(b64decode(text, validate=True), MOST_BYTES)
    return json.loads(plain)  # one that was cut at the limit is no JSON
