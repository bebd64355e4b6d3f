"""A line of a log, an error or an extract of a table becomes one without identifiers: each replaced by its kind."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from fedcredit.data.governance.detectors import Found, find
from fedcredit.data.governance.disguises import readings
from fedcredit.data.governance.folding import with_numerals
from fedcredit.data.governance.names import Names
from fedcredit.data.identifiers import is_citizen_id, is_company_code

MAX_LINE = 20_000  # of a traceback; what is longer is cut
MAX_TOKEN = 400  # no word of a log is longer, and to decode a long one takes seconds
_TOKEN = re.compile(r"[A-Za-z0-9+/_=%&#;\\-]{12,}")
_PIECE = re.compile(r"[0-9A-Za-z]*[0-9][0-9A-Za-z]*")
_SHORTEST_PIECE = 5
_CHECKS = (("uscc", is_company_code), ("id-card", is_citizen_id))


def mask_text(text: str, *, names: Names | None = None) -> str:
    """The text with every identifier replaced by its kind; whatever is coded is replaced whole.

    >>> mask_text("row 7: 91330100799655058B, Zhang, 138 0013 8000")
    'row 7: ‹uscc›, Zhang, ‹mobile›'
    """
    text = text[:MAX_LINE]
    masked, end = [], 0
    for hit in sorted(search(text, names=names), key=lambda one: (one.start, -one.end)):
        if hit.start >= end:
            masked += [text[end : hit.start], f"‹{hit.kind}›"]
        end = max(end, hit.end)
    return "".join([*masked, text[end:]])


def search(text: str, *, names: Names | None = None, sentences: bool = True) -> list[Found]:
    """Every identifier of a text that people wrote: as `find` sees it, coded, in Chinese numerals, or in two pieces."""
    found = find(text, names=names, sentences=sentences)
    found += [hit for token in _TOKEN.finditer(text) for hit in _coded(token, names)]
    found += [] if text.isascii() else find(with_numerals(text), names=names, sentences=False)
    return found + _split(text)


class LogMask:
    """Masks every log record of this process when it is made, so that no handler, present or later, sees more.

    A logging filter would see the records of one logger or one handler only.
    """

    def __init__(self) -> None:
        self._names: Names | None = None
        self._make: Callable[..., logging.LogRecord] | None = None

    def install(self) -> None:
        """Begin to mask; a second call changes nothing."""
        if self._make is None:
            self._make = logging.getLogRecordFactory()
            logging.setLogRecordFactory(self.record)

    def watch(self, names: Names) -> None:
        """Mask the names of this registry too, from now on."""
        self._names = names if self._names is None else self._names | names

    def record(self, *arguments: Any, **facts: Any) -> logging.LogRecord:
        """The record as it would be, its message and its exception masked."""
        record = (self._make or logging.LogRecord)(*arguments, **facts)
        try:
            said = record.getMessage()
        except Exception:  # arguments that do not fit the message, or cannot be printed
            said = f"a record of {record.module} that cannot be written"
        if record.exc_info:
            said += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        # The text is part of the message now: a formatter that drew the exception itself would draw it unmasked.
        record.msg, record.args, record.exc_info, record.exc_text = mask_text(said, names=self._names), (), None, None
        return record


LOGS = LogMask()


def _coded(token: re.Match[str], names: Names | None) -> list[Found]:
    """The whole token, where a decoding of it holds what the token itself does not show, or might."""
    if len(token[0]) > MAX_TOKEN:
        return [Found("coded", *token.span())]
    for said in readings(token[0]) - {token[0]}:
        for hit in find(said, names=names):
            return [Found(hit.kind, *token.span())]
    return []


def _split(text: str) -> list[Found]:
    """Two neighbouring pieces whose check digits say that they are one code, such as its halves in two arguments."""
    pieces = [piece for piece in _PIECE.finditer(text) if len(piece[0]) >= _SHORTEST_PIECE]
    found = []
    for one, two in pairwise(pieces):
        joined = (one[0] + two[0]).upper()
        for kind, is_valid in _CHECKS:
            if is_valid(joined):
                found += [Found(kind, *one.span()), Found(kind, *two.span())]
    return found
