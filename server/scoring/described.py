"""The types of the messages become the service's OpenAPI page, with an example that the champion would take."""

from __future__ import annotations

from typing import Any

import msgspec

from server.scoring.messages import Batch, CompanyRows, Fault, Path, Score, Scores

TYPES = (CompanyRows, Batch, Fault, Score, Scores, Path)
TEXT = "text/plain"
REF = "#/components/schemas/{name}"
WHY = {
    400: "No JSON, or a header of another form.",
    401: "No valid token.",
    403: "The token's role may not ask this.",
    404: "The company is unknown.",
    409: "Another body under the same key, stale indicators, or the schema of another model.",
    413: "More than 2 MB.",
    415: "Not application/json.",
    422: "A field is unknown, missing, out of range or of another type; `where` names it.",
    429: "Too many requests; Retry-After says when to come again.",
    500: "A fault of the service.",
    503: "No champion, or the score book is locked; Retry-After says when to come again.",
}
SCORE = {
    "company": "914403001922038216",
    "pd": 0.0123,
    "grade": "BBB-",
    "period": "2025-12",
    "model_version": "cohort-1f3a5b7c9d0e",
    "coverage": 0.97,
    "missing": [],
    "age_hours": 5.5,
    "arm": "champion",
    "reasons": None,
}
REFUSED = {
    "error": "ScoringRefused",
    "where": "rows[0].debt_ratio",
    "found": "a value outside its range",
    "expected": "0 to 10",
    "hint": "",
    "code": "range",
}
ASKED = {
    "company": "914403001922038216",
    "known_at": "2025-12-31T08:00:00+08:00",
    "rows": [{"period": "2025-11", "debt_ratio": 0.4}, {"period": "2025-12", "debt_ratio": 0.5}],
}


LANGUAGE = {
    "name": "language",
    "in": "query",
    "required": False,
    "description": "Of the reasons.",
    "schema": {"type": "string", "enum": ["zh", "en"], "default": "en"},
}


def asks(kind: type[Any], example: Any) -> dict[str, Any]:
    """`openapi_extra` of an address that takes a body."""
    content = {"application/json": {"schema": _ref(kind), "examples": {"a": {"value": example}}}}
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "The same key with the same body gives the same answer again; kept for a day.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    }
    return {"requestBody": {"required": True, "content": content}, "parameters": [key]}


def answers(
    kind: type[Any] | None, example: Any, *faults: int, media: str = "application/json"
) -> dict[int | str, dict[str, Any]]:
    """`responses` of an address."""
    schema = _ref(kind) if kind else {"type": "string" if media == TEXT else "object"}
    good = {"description": "The answer.", "content": {media: {"schema": schema, "example": example}}}
    refused = {"application/json": {"schema": _ref(Fault), "example": REFUSED}}
    faulty: dict[int | str, dict[str, Any]] = {
        status: {"description": WHY[status], "content": refused} for status in faults
    }
    return {200: good, **faulty}


def completed(page: dict[str, Any]) -> dict[str, Any]:
    """The page with the messages' schemas, and how a caller signs in."""
    _, schemas = msgspec.json.schema_components(TYPES, ref_template=REF)
    components = page.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas)
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "EdDSA; has name and role."}
    }
    for path, methods in page["paths"].items():
        for method in methods.values():
            method["security"] = [] if path == "/health" else [{"token": []}]
    return page


def _ref(kind: type[Any]) -> dict[str, str]:
    return {"$ref": REF.format(name=kind.__name__)}
