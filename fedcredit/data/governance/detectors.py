"""A text becomes the places where a code or a name of a company or person stands, written as people write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fedcredit.data.governance.folding import Places, fold, squeeze
from fedcredit.data.governance.names import Names
from fedcredit.data.identifiers import USCC_ALPHABET, is_bank_card, is_citizen_id, is_company_code

_USCC = f"[1-9ANY][1-69][0-9]{{6}}[{USCC_ALPHABET}]{{10}}"
_BORN = "(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
_CITIZEN = f"[1-9][0-9]{{5}}{_BORN}[0-9]{{3}}[0-9X]"


def _word(form: str) -> re.Pattern[str]:
    return re.compile(f"(?<![0-9A-Z]){form}(?![0-9A-Z])")


def _number(form: str) -> re.Pattern[str]:
    """The form, where no digit goes on; a decimal is no code: 0.13812345678 is a loss."""
    return re.compile(rf"(?<![0-9])(?<![0-9]\.){form}(?![0-9])")


# Standing alone, the form is enough: a code with a slip in it names its company all the same.
_FORMS = [
    ("id-card", _word(_CITIZEN)),
    ("uscc", _word("[1-9ANY][1-69][0-9]{6}[0-9A-Z]{10}")),
    ("mobile", _number(r"(?:(?:\+|00)?86[ -]?)?1[3-9][0-9]([ .-]?)[0-9]{4}\1[0-9]{4}")),
    ("mobile", _number(r"1[3-9][0-9]([ .-])[0-9]{3}\1[0-9]{5}")),
    ("mobile", _number(r"1[3-9][0-9]{2}([ .-])[0-9]{4}\1[0-9]{3}")),
    ("digits", _number("[0-9]{15,}")),
]
_CARD = _number(r"[3-9][0-9]{3}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{1,3})?")
# Inside of other letters, or with spaces and dashes within, its check digits must tell. Points and commas do not close
# up: they stand in and between the numbers of a log.
_CHECKED = [
    ("uscc", re.compile(f"(?=({_USCC}))"), is_company_code),
    ("id-card", re.compile(f"(?=({_CITIZEN}))"), is_citizen_id),
]
_SOFT = re.compile(r"(?<=[0-9A-Z])[ \t_/·-]{1,3}(?=[0-9A-Z])")
_SENTENCE = re.compile(r"[一-鿿][一-鿿0-9A-Za-z，。；：！？、（）《》“”%％. \u200b-\u200f-]{7,}")


@dataclass(frozen=True)
class Found:
    """What was found from `start` to `end` of a text."""

    kind: str
    start: int
    end: int


def find(text: str, *, names: Names | None = None, sentences: bool = True) -> list[Found]:
    """Every code, name and Chinese sentence of the text, at its place in it.

    >>> [(one.kind, one.start, one.end) for one in find("tel +86 138-0013-8000, card 4111 1111 1111 1111")]
    [('mobile', 4, 21), ('bank-card', 28, 47)]
    """
    folded, places = fold(text)
    found = [Found(kind, *_place(at.span(), places)) for kind, form in _FORMS for at in form.finditer(folded)]
    cards = [at for at in _CARD.finditer(folded) if is_bank_card(re.sub("[ -]", "", at[0]))]
    found += [Found("bank-card", *_place(at.span(), places)) for at in cards]
    found += _checked(*_closed_up(folded, places))
    if names is not None:
        letters, where = squeeze(folded, places)
        found += [Found("name", *_place(span, where)) for span in names.spans(letters)]
    if sentences:
        found += [Found("text", *at.span()) for at in _SENTENCE.finditer(text) if _is_sentence(at[0])]
    return found


def _checked(folded: str, places: Places) -> Iterator[Found]:
    for kind, form, is_valid in _CHECKED:
        for at in form.finditer(folded):
            if is_valid(at[1]):
                yield Found(kind, *_place(at.span(1), places))


def _closed_up(folded: str, places: Places) -> tuple[str, Places]:
    """The text without the signs that people put inside of a code."""
    gaps = {place for at in _SOFT.finditer(folded) for place in range(*at.span())}
    if not gaps:
        return folded, places
    kept = [(letter, places[place]) for place, letter in enumerate(folded) if place not in gaps]
    return "".join(letter for letter, _ in kept), [place for _, place in kept]


def _place(span: tuple[int, int], places: Places) -> tuple[int, int]:
    return places[span[0]], places[span[1] - 1] + 1


def _is_sentence(text: str) -> bool:
    """Whether Chinese words are a sentence, and not the name of a bank."""
    return any(sign in "，。；：！？、" for sign in text) or len(text) >= 24
