"""The book keeps reasons by level: a caller reads those of its own, and no byte of what is above it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import pandas as pd
import pytest

from fedcredit.credit.sentences import Language, as_dict
from fedcredit.data.economy import EconomySettings, generate
from fedcredit.data.features import make_windows
from fedcredit.data.indicators import indicators
from fedcredit.data.schema import Table
from fedcredit.errors import ModelError
from fedcredit.explain import explain
from fedcredit.models import bundle as bundles
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.bundle import Bundle
from server.scoring.book import ScoreBook
from server.scoring.explaining import NO_TYPICAL, NOT_WANTED, Explaining
from server.scoring.grades import LEVEL, Grades
from server.scoring.kept_reasons import LEVELS, Seen, _packed, read_reasons, write_reasons
from server.scoring.tokens import Caller

COMPANIES = generate(EconomySettings(companies=40, months=6, seed=3))
SECRET = [one for one in indicators() if one.level == 4]
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
Role = Literal["institution", "auditor"]


@pytest.fixture(scope="module")
def model() -> Bundle:
    features = make_windows(COMPANIES, length=6).features
    settings = ModelSettings("nine_factor", hidden=5).resolved(features)
    weights = build(settings, features=features, time=6, seed=0).state_dict()
    facts: dict[str, Any] = {"config_sha256": "c" * 64, "git_sha": "abc", "roster": ("east",), "scale": "master19"}
    return Bundle("kept", settings, 6, features, COMPANIES.schema, weights, **facts)


@pytest.fixture(scope="module")
def texts(model: Bundle) -> dict[str, str]:
    return write_reasons(model, COMPANIES)


@pytest.fixture(scope="module")
def grades(model: Bundle, texts: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Grades:
    """What the service answers from, over a book as rescoring writes it."""
    file = tmp_path_factory.mktemp("book") / "scores.sqlite"
    scores = bundles.score(model, COMPANIES).assign(grade="BB")
    with ScoreBook(file) as book:
        book.put(scores.assign(reasons=[texts[company] for company in scores["company"]]), scored_at=NOW)
    return Grades(file)


def answer(grades: Grades, company: str, role: Role, language: Language) -> str:
    """The bytes that such a caller gets, as text."""
    path = grades.path(company, Caller("x", role, "1", NOW), NOW, 72.0, language)
    return msgspec.json.encode(path).decode()


def secrets_in(text: str) -> set[str]:
    """The level-4 indicators that a text names, in any of their names."""
    return {one.id for one in SECRET if {one.id, one.zh, one.en} & {name for name in _names(one) if name in text}}


def _names(one: Any) -> tuple[str, str, str]:
    return one.id, one.zh, one.en


def test_no_answer_to_an_institution_names_a_field_above_its_level(grades: Grades, texts: dict[str, str]) -> None:
    told = 0
    for company in texts:
        for language in get_args(Language):
            assert secrets_in(answer(grades, company, "institution", language)) == set()
            told += bool(secrets_in(answer(grades, company, "auditor", language)))
    assert told > len(texts) // 4  # an auditor reads of them: else the line above could not fail


def test_an_institution_reads_what_was_made_for_level_3_alone(
    model: Bundle, texts: dict[str, str], grades: Grades
) -> None:
    cases: tuple[tuple[Role, int], ...] = (("institution", 3), ("auditor", 4))
    for role, level in cases:
        found = explain(model, COMPANIES, level=level)
        for row, company in enumerate(found.scores["company"].head(5)):
            for language in get_args(Language):
                seen = json.loads(answer(grades, company, role, language))
                assert seen["reasons"] == as_dict(found.reasons, row, language=language)
                assert seen["reasons"]["level"] == level
                assert seen["are_reasons_hidden"] is False


def test_a_level_below_every_object_sees_none_and_that_there_are_some(texts: dict[str, str]) -> None:
    text = next(iter(texts.values()))
    assert read_reasons(text, level=1, language="en") == Seen(None, is_hidden=True)
    found = read_reasons(text, level=LEVEL["data_scientist"], language="zh").reasons
    assert found is not None
    assert found["level"] == 2
    assert set(LEVELS) == {LEVEL[role] for role in ("data_scientist", "institution", "auditor")}


def test_an_object_that_lies_under_a_lower_level_is_not_shown() -> None:
    """The object's own word counts as well, should one be filed wrongly."""
    grave = {"level": 4, "reasons": [{"indicator": "interest_cover"}]}
    text = json.dumps({"form": 1, "levels": {"3": _packed({"zh": grave, "en": grave})}})
    assert read_reasons(text, level=3, language="en") == Seen(None, is_hidden=True)
    assert read_reasons(text, level=4, language="en").reasons == grave


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "no JSON",
        '{"levels": 3}',
        '{"levels": {"3": "?"}}',
        '{"levels": {"3": 5}}',
        '{"levels": {"3": "AAAA"}}',
        json.dumps({"levels": {"3": _packed({"en": "x" * (1 << 20)})}}),
        json.dumps({"levels": {"3": _packed({"zh": {"level": 3}})}}),
    ],
)
def test_a_text_of_another_form_has_no_reasons_and_no_fault(text: str) -> None:
    assert read_reasons(text, level=3, language="en") == Seen(None, is_hidden=False)


def test_a_model_of_other_indicators_gets_no_reasons_and_says_so(model: Bundle) -> None:
    schema = model.schema
    other = replace(schema, columns=tuple(replace(one, indicator=None) for one in schema.columns))
    writer = Explaining(replace(model, schema=other))
    assert writer.texts(COMPANIES, ["a", "b"]) == [None, None]
    assert (writer.explained, writer.fault) == (0, NO_TYPICAL)


def test_reasons_that_are_not_wanted_cost_nothing(model: Bundle) -> None:
    writer = Explaining(model, is_wanted=False)
    assert writer.texts(COMPANIES, ["a"]) == [None]
    assert (writer.seconds, writer.fault) == (0.0, NOT_WANTED)


def test_a_fault_of_a_reason_is_told_without_a_cell_and_stops_no_score(
    model: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(bundle: Bundle, table: Table) -> dict[str, str]:
        raise ModelError("row of company-a", found="12345", expected="a sum")

    monkeypatch.setattr("server.scoring.explaining.write_reasons", faulty)
    writer = Explaining(model)
    assert writer.texts(COMPANIES, ["company-a"]) == [None]
    assert writer.fault == "rows that cannot be explained (ModelError)"


def test_the_path_counts_notches_between_graded_periods(tmp_path: Path) -> None:
    steps = [("2025-01", 0.068, "B+"), ("2025-02", 0.03, None), ("2025-03", 0.045, "BB-"), ("2025-04", 0.1, "B")]
    rows = [
        {"company": "a", "period": period, "pd": p, "grade": grade, "coverage": 1.0, "model_version": "m"}
        for period, p, grade in steps
    ]
    with ScoreBook(tmp_path / "scores.sqlite") as book:
        book.put(pd.DataFrame(rows), scored_at=NOW)
    found = json.loads(answer(Grades(tmp_path / "scores.sqlite"), "a", "institution", "en"))
    assert [(one["grade"], one["notches"], one["move"]) for one in found["path"]] == [
        ("B+", 0, "first"),
        ("", None, None),
        ("BB-", 1, "upgrade"),
        ("B", -2, "downgrade"),
    ]
    assert (found["upgrades"], found["downgrades"], found["reasons"]) == (1, 1, None)
