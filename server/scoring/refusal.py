"""What a caller did that is not taken becomes an answer: its status, the place, what is right; never a cell."""

from __future__ import annotations

from http.client import responses

import msgspec

from fedcredit.errors import FedCreditError

STATUS = {
    "request": 400,
    "token": 401,
    "role": 403,
    "address": 404,
    "unknown-company": 404,
    "method": 405,
    "repeat": 409,
    "model-schema": 409,
    "stale": 409,
    "size": 413,
    "content-type": 415,
    "field": 422,
    "missing": 422,
    "range": 422,
    "period": 422,
    "reasons": 422,
    "rate": 429,
    "server": 500,
    "no-champion": 503,
    "busy": 503,
}


class ScoringRefused(FedCreditError):
    """The service does not answer this request as it stands; `code` says why, and the status follows from it."""

    code = "scoring"

    def __init__(self, where: str, *, found: str, expected: str, hint: str = "", code: str = "scoring") -> None:
        super().__init__(where, found=found, expected=expected, hint=hint)
        self.code = code

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.where, self.found, self.expected, self.hint, self.code))

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUS[self.code]

    def at(self, place: str) -> ScoringRefused:
        """The same, its place inside another: `rows[0]` of `companies[3]`."""
        where = f"{place}.{self.where}" if self.where else place
        return ScoringRefused(where, code=self.code, found=self.found, expected=self.expected, hint=self.hint)

    def body(self) -> bytes:
        """The JSON object of the answer."""
        return msgspec.json.encode(self.as_dict())


def _rebuild(where: str, found: str, expected: str, hint: str, code: str) -> ScoringRefused:
    return ScoringRefused(where, code=code, found=found, expected=expected, hint=hint)


def of_status(status: int) -> ScoringRefused:
    """The answer for a status that the framework chose: no such address, another method.

    >>> of_status(405).code
    'method'
    """
    code = next((code for code, number in STATUS.items() if number == status), "request")
    phrase = responses.get(status, "a fault").lower()
    return ScoringRefused("request", code=code, found=phrase, expected="a request of /openapi.json")
