"""What a consortium allows of a study: the default schema is the task's own shape, and limits only narrow it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from fedcredit.errors import ConfigError
from fedcredit.federation import messages
from fedcredit.federation.counting import CountTerms
from fedcredit.federation.messages import Masking, PrivacyTerms, Task
from fedcredit.models.build import ModelSettings
from fedcredit.models.factors import Factor
from fedcredit.models.train import LocalSettings
from server.bundle import bundle
from server.consortium.home import ChangeWaits, Consortium
from server.consortium.studies import Limits, check_schema, narrowed, task_schema
from tests.server.consortium.conftest import run

BUNDLE = "b" * 64
TERMS = PrivacyTerms(epsilon=3.0, delta=1e-6, clip=1.0, sample_rate=0.1, steps=5, rounds=10)
TASK = Task(
    run="r1",
    model=ModelSettings("nine_factor", factors=(Factor("solvency", up=("cash",), down=("debt",)),)),
    features=("cash", "debt"),
    time=12,
    seed=7,
    local=LocalSettings(steps=5),
    privacy=TERMS,
    personal=LocalSettings(),
    masking=Masking((("a", "b", "c", "d"),), limit=10.0),
    study="quickstart",
)


def fits(schema: dict[str, Any], task: Task) -> bool:
    return bool(Draft202012Validator(schema).is_valid(json.loads(task.to_json())))


def allow(*words: str, until: str = "2999-12-31") -> tuple[str, ...]:
    return ("study", "allow", "quickstart", "--purpose", "credit-risk", "--bundle", BUNDLE, "--until", until, *words)


def test_default_schema_takes_tasks_and_nothing_else() -> None:
    schema = task_schema()
    check_schema(schema, where="default")
    plain = Task("r2", ModelSettings("logistic"), ("debt",), 1, 0, study="quickstart")
    assert fits(schema, TASK)
    assert fits(schema, plain)
    for change in ({"more": 1}, {"study": ""}, {"seed": -1}, {"features": []}, {"time": 1.5}, {"privacy": {}}):
        assert not Draft202012Validator(schema).is_valid(json.loads(TASK.to_json()) | change)
    for name in json.loads(TASK.to_json()):
        without = {key: item for key, item in json.loads(TASK.to_json()).items() if key != name}
        assert not Draft202012Validator(schema).is_valid(without)


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        (Task, ()),
        (ModelSettings, ("properties", "model")),
        (Factor, ("properties", "model", "properties", "factors", "items")),
        (LocalSettings, ("$defs", "local")),
        (PrivacyTerms, ("$defs", "privacy")),
        (Masking, ("$defs", "masking")),
        (CountTerms, ("$defs", "counts")),
    ],
)
def test_default_schema_has_every_field_of_a_task(kind: Any, place: tuple[str, ...]) -> None:
    """A field that is added to the task and not here would make every study be refused; this says so first."""
    schema: Any = task_schema()
    for step in place:
        schema = schema[step]
    fields = {field.name for field in dataclasses.fields(kind)}
    optional = {"counts"} if kind is Task else set()  # a task without them does not name them
    assert set(schema["properties"]) == set(schema["required"]) | optional == fields
    assert schema["additionalProperties"] is False
    hints = get_type_hints(kind)
    for name in fields:
        choices = get_args(hints[name])
        if "Literal" in str(hints[name]) and all(isinstance(choice, str) for choice in choices):
            assert set(schema["properties"][name]["enum"]) == set(choices)


def test_default_schema_is_no_wider_than_the_tasks_own_limits() -> None:
    definitions = task_schema()["$defs"]
    for name, (low, high) in messages.PRIVACY_LIMITS.items():
        said = definitions["privacy"]["properties"][name]
        assert low <= said["minimum"] <= said["maximum"] <= high
    assert definitions["masking"]["properties"]["groups"]["items"]["minItems"] == messages.MIN_SUM


def test_limits_narrow_the_schema() -> None:
    schema = narrowed(
        task_schema(), study="quickstart", limits=Limits(3.0, 10, ("nine_factor",), ("cash", "debt"), True)
    )
    check_schema(schema, where="narrowed")
    assert fits(schema, TASK)
    for other in (
        replace(TASK, study="another"),
        replace(TASK, privacy=replace(TERMS, epsilon=3.1)),
        replace(TASK, privacy=replace(TERMS, rounds=11)),
        replace(TASK, privacy=None),
        replace(TASK, masking=None),
        replace(TASK, features=("cash", "debt", "phone")),
        replace(TASK, model=ModelSettings("mlp")),
    ):
        assert fits(task_schema(), other)
        assert not fits(schema, other)
    quiet = narrowed(task_schema(), study="quickstart", limits=Limits(exact_metrics=False))
    assert not fits(quiet, TASK)
    assert fits(quiet, replace(TASK, metrics="none"))


def test_study_is_allowed_changed_and_forbidden(kept: Consortium) -> None:
    run(*allow("--epsilon", "3", "--rounds", "20", "--model", "lstm"))
    rule = kept.current().rule_for("quickstart")
    assert rule is not None
    assert (rule.purpose, rule.bundles, rule.until.year) == ("credit-risk", (BUNDLE,), 2999)
    assert rule.schema["properties"]["model"]["properties"]["kind"] == {"enum": ["lstm"]}
    assert run("study", "show", "quickstart", "--json").facts["schema"] == rule.schema
    said = run(*allow("--epsilon", "2"), "--json").facts
    assert any(line.startswith("! study quickstart") for line in said["changes"])
    assert len(kept.current().studies) == 1
    run("study", "forbid", "quickstart")
    assert kept.current().studies == ()
    for verb in ("show", "forbid"):
        with pytest.raises(ConfigError, match="no study quickstart"):
            run("study", verb, "quickstart")


def test_study_is_allowed_for_a_year_with_the_installed_bundle_unless_said(kept: Consortium) -> None:
    words = ("study", "allow", "quickstart", "--purpose", "credit-risk")
    run(*words, "--officer", "ann")
    run(*words, "--officer", "bob")  # of the same draft, also on another day
    rule = kept.current().rule_for("quickstart")
    assert rule is not None
    assert rule.bundles == (bundle().sha256,)
    assert (rule.until - kept.current().issued).days == 365


def test_second_officer_signs_the_same_study_and_no_other(kept: Consortium) -> None:
    run(*allow("--epsilon", "3"), "--officer", "ann")
    with pytest.raises(ChangeWaits, match="other content"):
        run(*allow("--epsilon", "8"), "--officer", "bob")
    run(*allow("--epsilon", "3"), "--officer", "bob")
    assert kept.current().rule_for("quickstart") is not None


def test_own_schema_is_taken_if_it_is_one_and_closed(kept: Consortium, tmp_path: Path) -> None:
    path = tmp_path / "task.json"
    path.write_text(json.dumps(task_schema() | {"title": "ours"}))
    run(*allow("--schema", str(path)))
    rule = kept.current().rule_for("quickstart")
    assert rule is not None
    assert rule.schema["title"] == "ours"
    for schema in (
        {},
        [],
        {"type": "object"},
        {"type": "nonsense", "additionalProperties": False},
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "additionalProperties": False},
        task_schema() | {"$ref": "https://example.org/other.json"},
    ):
        path.write_text(json.dumps(schema))
        with pytest.raises(ConfigError):
            run(*allow("--schema", str(path)))
    for text in ("", "{", "x" * 70_000):
        path.write_text(text)
        with pytest.raises(ConfigError):
            run(*allow("--schema", str(path)))
    with pytest.raises(ConfigError, match="no file"):
        run(*allow("--schema", str(tmp_path / "nothing.json")))


def test_impossible_rules_are_refused(kept: Consortium) -> None:
    for words in (allow(until="2020-01-01"), allow(until="soon"), allow("--bundle", "abc")):
        with pytest.raises(ConfigError):
            run(*words)
    assert kept.current().version == 1
