"""The bytes of a request become typed values, and answers become bytes; the OpenAPI page is made of the same types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from fedcredit.credit.path import Move
from server.scoring.refusal import ScoringRefused

MOST_BYTES = 2 << 20  # a body
MOST_ROWS, MOST_COMPANIES = 120, 1000  # periods of a company; companies of a batch

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$", description="Company id.")]
Cell = float | Annotated[str, Meta(max_length=64)] | None
Row = dict[str, Cell]
Rows = Annotated[
    list[Row],
    Meta(min_length=1, max_length=MOST_ROWS, description="One object a period: `period`, and indicators by name."),
]
Moment = Annotated[
    str, Meta(max_length=40, description="When the newest indicator was known: ISO 8601 with its offset from UTC.")
]
Digest = Annotated[str, Meta(min_length=64, max_length=64, description="Of the model's schema, from GET /models.")]
Language = Annotated[Literal["zh", "en"], Meta(description="Ask for the reasons, in this language.")]
Asked = TypeVar("Asked")


class CompanyRows(Struct, forbid_unknown_fields=True):
    """One company to score."""

    company: Name
    rows: Rows
    known_at: Moment | None = None
    schema_sha256: Digest | None = None
    reasons: Language | None = None


class Batch(Struct, forbid_unknown_fields=True):
    """Several companies to score; one that is refused stops no other."""

    companies: Annotated[list[CompanyRows], Meta(min_length=1, max_length=MOST_COMPANIES)]


class Fault(Struct):
    """Why something was refused: the place in the request, and what is right. It holds no cell of the request."""

    error: str
    where: str
    found: str
    expected: str
    hint: str
    code: str


class Score(Struct):
    """A company's probability of default and grade.

    coverage: share of the window's indicator cells that were known; missing: indicators without a value in the last
    period; age_hours: since `known_at`, null where the request named none; arm: which model answered; reasons:
    where they were asked for, as far as the caller's level of JR/T 0197-2020 goes.
    """

    company: str
    period: str | int | None
    pd: float
    grade: str
    model_version: str
    coverage: float
    missing: list[str]
    age_hours: float | None
    arm: str
    reasons: dict[str, Any] | None = None


class Refused(Struct):
    """A company of the batch, by its place from 0, that got no score."""

    at: int
    fault: Fault


class Scores(Struct):
    """The companies of a batch, in its order; null where one was refused."""

    scores: list[Score | None]
    refused: list[Refused]


class Step(Struct):
    """A grade of a company's path.

    notches: how many better than the graded period before, negative where worse; move: what that is. Both null where
    the score has no grade. Two periods of other model versions may differ by the model alone.
    """

    period: str | int | None
    pd: float
    grade: str
    model_version: str
    coverage: float
    known_at: str | None
    scored_at: str
    notches: int | None
    move: Move | None


class Path(Struct):
    """A company's newest grade, its reasons as far as the caller may see them, and the grades before it.

    upgrades, downgrades: how many periods of the path moved the grade.
    """

    company: str
    grade: str
    pd: float
    age_hours: float | None
    is_fresh: bool
    path: list[Step]
    upgrades: int
    downgrades: int
    reasons: dict[str, Any] | None
    are_reasons_hidden: bool


def language_of(said: Sequence[str]) -> Literal["zh", "en"]:
    """The language that an address asks for, English where it names none. Raises ScoringRefused: it is another."""
    match list(said):
        case [] | ["en"]:
            return "en"
        case ["zh"]:
            return "zh"
    raise ScoringRefused("language", code="field", found="another value", expected="zh or en")


_DECODERS: dict[type[Any], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (CompanyRows, Batch)
}


def read(kind: type[Asked], body: bytes) -> Asked:
    """The request in a body. Raises ScoringRefused; its words are ours, since a fault of form may lie in a cell."""
    try:
        asked: Asked = _DECODERS[kind].decode(body)
    except msgspec.ValidationError as fault:
        said, _, place = str(fault).rpartition(" - at `")
        where = _place(place) if said else "body"
        raise ScoringRefused(
            where, code="field", found="another value", expected=_expected(said or str(fault))
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ScoringRefused("body", code="request", found="no JSON", expected="a JSON object in UTF-8") from None
    return asked


def _place(text: str) -> str:
    """`$.rows[0]` without what a request may have named itself: keys of a row come as `[...]`."""
    place = text.rstrip("`").removeprefix("$").lstrip(".")
    return place.replace("[...]", "") or "body"


def _expected(said: str) -> str:
    """msgspec's own words tell types and limits; those that quote a field's name are replaced."""
    if "unknown field" in said:
        return "no field but those of /openapi.json"
    if said.startswith("Object missing required field"):
        return said.replace("Object missing required field", "the field")
    return said.partition(", got")[0].removeprefix("Expected ")
