"""The service: scores, roles, refusals that name the field and never a cell."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pandas as pd
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.scoring.book import ScoreBook
from server.scoring.running import BOOK
from server.scoring.tokens import issue, new_key, revoke
from server.scoring.verifier import Verifier
from tests.server.scoring.world import NAME, SCHEMA, Serving, asked, history, row

FAULT = {"error", "where", "found", "expected", "hint", "code"}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    made = Serving(tmp_path_factory.mktemp("serving"))
    told = {"pd": 0.012, "grade": "BBB-", "coverage": 0.9, "model_version": "quick-1"}
    scores = [
        {"company": "known", "period": "2025-11", **told, "pd": 0.02, "grade": "BB+"},
        {"company": "known", "period": "2025-12", **told, "reasons": {"level": 3, "reasons": [{"rank": 1}]}},
        {"company": "grave", "period": "2025-12", **told, "reasons": {"level": 4, "reasons": [{"rank": 1}]}},
        {"company": "older", "period": "2025-12", **told, "reasons": {"reasons": [{"rank": 1}]}},
    ]
    with ScoreBook(made.desk / BOOK) as book:
        book.put(pd.DataFrame(scores))
        old = pd.DataFrame([{"company": "stale", "period": "2025-01", **told}])
        book.put(old, scored_at=datetime.now(UTC) - timedelta(hours=80))
    made.start()
    yield made
    made.stop()


def test_a_company_gets_probability_grade_and_coverage(serving: Serving) -> None:
    status, score, _ = serving.score(asked(known_at=(datetime.now(UTC) - timedelta(hours=2)).isoformat()))
    assert status == 200, score
    assert 0 < score["pd"] < 1
    assert score["coverage"] == 1.0
    assert (score["period"], score["arm"]) == ("2025-12", "champion")
    assert score["age_hours"] == pytest.approx(2.0, abs=0.01)
    assert score["model_version"].startswith("quick-")


def test_a_batch_keeps_its_order_and_one_refusal_stops_no_other(serving: Serving) -> None:
    companies = [asked("a"), asked("b", history(debt_ratio=99.0)), asked("c")]
    status, answer, _ = serving.ask("POST", "/score/batch", {"companies": companies})
    assert status == 200, answer
    assert [one and one["company"] for one in answer["scores"]] == ["a", None, "c"]
    assert [one["at"] for one in answer["refused"]] == [1]
    refused = answer["refused"][0]["fault"]
    assert set(refused) == FAULT
    assert (refused["code"], refused["where"]) == ("range", "companies[1].rows[0].debt_ratio")
    single = serving.score(asked("c"))[1]
    assert answer["scores"][2]["pd"] == pytest.approx(single["pd"], abs=1e-7)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "request"),
        (b"\xff\xfe", 400, "request"),
        (b"[" * 100_000, 422, "field"),
        ([], 422, "field"),
        ({"company": "a"}, 422, "field"),
        ({"company": "", "rows": [{}]}, 422, "field"),
        ({"company": "a", "rows": []}, 422, "field"),
        ({"company": "a", "rows": [{"sales": {"x": 1}}]}, 422, "field"),
        (asked(schema_sha256="0" * 64), 409, "model-schema"),
        (asked(known_at="2020-01-01T00:00:00+00:00"), 409, "stale"),
        (asked(known_at="2125-01-01T00:00:00+00:00"), 422, "field"),
        (asked(known_at="2025-12-31"), 422, "field"),
        (asked(rows=[row(growth=None)]), 422, "missing"),
        (asked(more=1), 422, "field"),
    ],
)
def test_what_is_not_taken_is_refused_with_place_and_reason(
    serving: Serving, body: Any, status: int, code: str
) -> None:
    found, answer, _ = serving.score(body)
    assert (found, answer["code"]) == (status, code), answer
    assert set(answer) == FAULT


def test_no_refusal_repeats_what_was_sent(serving: Serving) -> None:
    secret = "914403001922038216"  # noqa: S105 - a company's code
    for body in (
        asked(secret, [row(debt_ratio=secret)]),
        asked(secret, [row(**{secret: 1.0})]),
        asked(secret, [row(region=secret)]),
        asked(secret, [row(period=secret)]),
        asked(secret, [row(sales=[secret])]),
        asked(secret, known_at=secret),
        {"company": secret, "rows": secret},
        {secret: 1},
    ):
        status, answer, headers = serving.score(body)
        assert 400 <= status < 500
        assert secret not in json.dumps([answer, headers]), answer


def test_the_right_schema_is_taken(serving: Serving) -> None:
    models = serving.ask("GET", "/models")[1]
    assert models["champion"]["schema_sha256"] == SCHEMA.sha256
    assert serving.score(asked(schema_sha256=SCHEMA.sha256))[0] == 200


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("institution", {"/score", "/score/batch", "/grades/known", "/models"}),
        ("data_scientist", {"/score", "/score/batch", "/models"}),
        ("ops", {"/models", "/metrics"}),
        ("auditor", {"/grades/known", "/models", "/metrics"}),
    ],
)
def test_each_role_may_ask_what_is_its_own(serving: Serving, role: str, may: set[str]) -> None:
    requests = {
        "/score": ("POST", asked()),
        "/score/batch": ("POST", {"companies": [asked()]}),
        "/grades/known": ("GET", None),
        "/models": ("GET", None),
        "/metrics": ("GET", None),
    }
    for path, (method, body) in requests.items():
        status, answer, _ = serving.ask(method, path, body, role=role)
        assert status == (200 if path in may else 403), (path, answer)
        assert path in may or answer["code"] == "role"


def test_a_company_s_path_comes_with_reasons_up_to_the_caller_s_level(serving: Serving) -> None:
    _, seen, _ = serving.ask("GET", "/grades/known")
    assert [one["grade"] for one in seen["path"]] == ["BB+", "BBB-"]
    assert (seen["grade"], seen["is_fresh"]) == ("BBB-", True)
    assert seen["reasons"]["reasons"] == [{"rank": 1}]
    for company, is_shown in (("grave", {"institution": False, "auditor": True}), ("older", {"auditor": False})):
        for role, shown in is_shown.items():
            seen = serving.ask("GET", f"/grades/{company}", role=role)[1]
            assert (seen["reasons"] is not None, seen["are_reasons_hidden"]) == (shown, not shown)


def test_a_path_says_how_far_it_moved_and_takes_two_languages(serving: Serving) -> None:
    _, seen, _ = serving.ask("GET", "/grades/known?language=zh")
    assert [(one["notches"], one["move"]) for one in seen["path"]] == [(0, "first"), (1, "upgrade")]
    assert (seen["upgrades"], seen["downgrades"]) == (1, 0)
    for wrong in ("fr", "zh&language=en", ""):
        status, answer, _ = serving.ask("GET", f"/grades/known?language={wrong}")
        assert (status, answer["code"], answer["where"]) == (422, "field", "language")


def test_an_unknown_company_is_not_found_and_an_old_grade_is_flagged(serving: Serving) -> None:
    status, answer, _ = serving.ask("GET", "/grades/nobody")
    assert (status, answer["code"]) == (404, "unknown-company")
    assert "nobody" not in json.dumps(answer)
    assert serving.ask("GET", "/grades/stale")[1]["is_fresh"] is False


def test_without_a_valid_token_nothing_is_answered(serving: Serving) -> None:
    folder = serving.keys
    old = datetime.now(UTC) - timedelta(days=2)
    expired = issue(folder, name="li", role="institution", days=1, now=old)[0]
    claims = jwt.decode(expired, options={"verify_signature": False})
    claims |= {"exp": claims["exp"] + 10**6, "role": "auditor"}
    good = serving.tokens["institution"]
    head, payload, signature = good.split(".")
    forged = {
        "another key": jwt.encode(claims, Ed25519PrivateKey.generate(), algorithm="EdDSA"),
        "no algorithm": jwt.encode(claims, None, algorithm="none"),
        "the public key as a secret": jwt.encode(claims, "x" * 64, algorithm="HS256"),
        "cut": f"{head}.{payload}.",
        "edited": f"{head}.{payload[:-2]}AA.{signature}",
        "expired": expired,
        "long": "a" * 10_000,
        "empty": "",
    }
    for what, token in forged.items():
        status, answer, headers = serving.ask("GET", "/models", role=None, Authorization=f"Bearer {token}")
        assert (status, answer["code"]) == (401, "token"), what
        assert headers["www-authenticate"].startswith("Bearer")
    assert serving.ask("GET", "/models", role=None)[0] == 401
    assert serving.ask("GET", "/models", role=None, Authorization=f"Basic {good}")[0] == 401


def turns(serving: Serving, role: str, status: int, **headers: str) -> Any:
    """The answer to a token once it has that status: key files are followed once a second."""
    until = time.monotonic() + 30
    while (found := serving.ask("GET", "/models", role=role, **headers))[0] != status and time.monotonic() < until:
        time.sleep(0.05)  # slower than the rate at which a token is told to wait
    assert found[0] == status, found[1]
    return found[1]


def test_a_revoked_token_counts_no_more_and_a_new_key_ends_none(serving: Serving) -> None:
    token, caller = issue(serving.keys, name="wang", role="ops", days=1)
    serving.tokens["leaving"] = token
    assert serving.ask("GET", "/models", role="leaving")[0] == 200
    new_key(serving.keys)
    revoke(serving.keys, caller.jti)
    serving.tokens["new"] = issue(serving.keys, name="wang", role="ops", days=1)[0]
    assert turns(serving, "leaving", 401)["found"] == "a token that was revoked"
    turns(serving, "new", 200)
    assert serving.ask("GET", "/models", role="ops")[0] == 200


def test_a_bound_token_counts_only_with_its_certificate(serving: Serving) -> None:
    serving.tokens["bound"] = issue(serving.keys, name="b", role="ops", days=1, certificate="a" * 64)[0]
    turns(serving, "bound", 200, fedcredit_certificate="a" * 64)
    assert serving.ask("GET", "/models", role="bound")[0] == 401
    assert serving.ask("GET", "/models", role="bound", fedcredit_certificate="b" * 64)[0] == 401


def test_through_the_gateway_a_token_that_is_not_bound_is_refused(serving: Serving) -> None:
    status, answer, _ = serving.ask("GET", "/models", role="ops", fedcredit_certificate="c" * 64)
    assert (status, answer["found"]) == (401, "a token that is bound to no certificate")
    assert "serve token --certificate" in answer["hint"]


def test_revocations_are_followed_after_a_fault_that_nobody_thought_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    serving, broken, follow = Serving(tmp_path).start(), threading.Event(), Verifier.follow

    def breaks_once(verifier: Verifier) -> bool:
        if broken.is_set():
            return follow(verifier)
        broken.set()
        raise RuntimeError("secret")

    try:
        monkeypatch.setattr(Verifier, "follow", breaks_once)
        assert broken.wait(30)
        revoke(serving.keys, jwt.decode(serving.tokens["ops"], options={"verify_signature": False})["jti"])
        turns(serving, "ops", 401)
    finally:
        serving.stop()
    assert "the token files were not followed: RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_the_same_key_gives_the_same_answer_and_another_body_is_refused(serving: Serving) -> None:
    first = serving.score(asked("x"), Idempotency_Key="k1")
    again = serving.score(asked("x"), Idempotency_Key="k1")
    assert first[1] == again[1]
    assert "idempotency-replayed" not in first[2]
    assert again[2]["idempotency-replayed"] == "true"
    status, answer, _ = serving.score(asked("y"), Idempotency_Key="k1")
    assert (status, answer["code"]) == (409, "repeat")
    other = serving.score(asked("y"), Idempotency_Key="k1", role="data_scientist")
    assert other[0] == 200  # the keys of two tokens are two keys
    assert serving.score(asked("x"), Idempotency_Key="k" * 256)[0] == 400


def test_another_content_type_address_or_method_is_refused_in_the_same_form(serving: Serving) -> None:
    status, answer, _ = serving.ask("POST", "/score", b"{}", Content_Type="text/plain")
    assert (status, set(answer)) == (415, FAULT)
    assert serving.ask("GET", "/nothing")[1]["code"] == "address"
    status, answer, headers = serving.ask("DELETE", "/score")
    assert (status, answer["code"], headers["allow"]) == (405, "method", "POST")


def test_health_needs_no_token_and_metrics_name_no_company(serving: Serving) -> None:
    assert serving.ask("GET", "/health", role=None)[1]["status"] == "ok"
    text = serving.ask("GET", "/metrics", role="ops")[1]
    assert 'fedcredit_scoring_answers_total{address="/score",status="200"}' in text
    assert "fedcredit_scoring_champion_in_force 1.0" in text
    assert "fedcredit_scoring_fresh_share 0." in text
    assert "known" not in text
    assert "company-a" not in text


def test_the_page_describes_what_is_asked_with_examples(serving: Serving) -> None:
    page = serving.ask("GET", "/openapi.json", role=None)[1]
    content = page["paths"]["/score"]["post"]["requestBody"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/CompanyRows"}
    assert content["examples"]
    assert page["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert page["paths"]["/health"]["get"]["security"] == []


def test_models_tell_an_institution_the_indicators_and_no_trial(serving: Serving) -> None:
    told = serving.ask("GET", "/models")[1]
    assert told["model"] == NAME
    debt = next(one for one in told["champion"]["indicators"] if one["name"] == "debt_ratio")
    assert (debt["lo"], debt["hi"]) == (0.0, 10.0)


def test_reasons_of_a_model_without_typical_values_are_refused(serving: Serving) -> None:
    status, answer, _ = serving.score(asked(reasons="en"))
    assert (status, answer["code"]) == (422, "reasons")
    assert serving.score(asked(reasons="fr"))[0] == 422
