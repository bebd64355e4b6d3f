"""A task is held against what the consortium's officers signed for its study: the name, the end, every parameter."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from clients.allowed import outside
from clients.policy import AskRefused
from fedcredit.federation.messages import DESCRIBE, SPENT, TRAIN, PrivacyTerms
from fedcredit.models.train import LocalSettings
from fedcredit.trust.manifest import ManifestFile, StudyRule
from server.consortium.studies import task_schema
from tests.clients.governed import ask, code_of, govern, logged, train, write_policy
from tests.conftest import Nodes
from tests.federation.conftest import make_task
from tests.trust.consortium import manifest, sealed

MakeNodes = Callable[..., Nodes]
TERMS = PrivacyTerms(epsilon=4.0, delta=1e-5, clip=1.0, sample_rate=0.5, steps=1, rounds=10)
TASK = make_task(study="pilot", privacy=TERMS, metrics="none", local=LocalSettings("sgd", lr=0.1))
SCHEMA = {
    "type": "object",
    "properties": {
        "seed": {"maximum": 9},
        "metrics": {"const": "none"},
        "privacy": {"type": "object", "properties": {"epsilon": {"maximum": 4}, "rounds": {"maximum": 20}}},
    },
}


def pinned(folder: Path, version: int = 1, *, until: timedelta = timedelta(days=9), **other: Any) -> Path:
    """A manifest of today with the study `pilot`, as a node keeps it."""
    now = datetime.now(UTC)
    rule = StudyRule("pilot", "credit-risk", ("b" * 64,), SCHEMA, now + until)
    said = {"issued": now - timedelta(days=30), "expires": now + timedelta(days=90), "studies": (rule,), **other}
    data = sealed(version, **said)
    file = ManifestFile(folder / "manifest.json")
    if version == 1:
        file.pin(data, fingerprint=manifest(1, **said).root_fingerprint, now=now - timedelta(days=29))
    else:
        file.accept(data, now=now)
    return file.path


@pytest.fixture
def bank(nodes: MakeNodes, tmp_path: Path) -> Nodes:
    banks = govern(nodes(1), tmp_path, purposes=["credit-risk"])
    banks.configs[0]["manifest"] = str(pinned(tmp_path))
    return banks


def test_a_registered_study_within_its_schema_is_answered_with_its_purpose_on_record(bank: Nodes) -> None:
    assert code_of(train(bank, TASK)) == "none"
    assert [e.facts["purpose"] for e in logged(bank) if e.event == "asked"] == ["credit-risk"]


def test_a_purpose_that_this_institution_does_not_serve_is_refused(bank: Nodes, tmp_path: Path) -> None:
    write_policy(tmp_path / "bank-0.yaml", institution="bank-0", purposes=["fraud"])
    assert code_of(train(bank, TASK)) == "purpose"


@pytest.mark.parametrize("study", ["", "another", "pilot "])
def test_a_study_that_is_not_registered_is_refused(study: str, bank: Nodes) -> None:
    asked = [code_of(ask(bank, kind, replace(TASK, study=study))) for kind in (DESCRIBE, TRAIN, SPENT)]
    assert asked == ["study"] * 3


@pytest.mark.parametrize(
    "change",
    [{"seed": 10}, {"metrics": "exact"}, {"privacy": None}, {"privacy": replace(TERMS, epsilon=4.5)}],
    ids=["seed", "metrics", "no privacy", "epsilon"],
)
def test_parameters_outside_of_the_schema_are_refused(change: dict[str, Any], bank: Nodes) -> None:
    assert code_of(train(bank, replace(TASK, **change))) == "schema"


@pytest.mark.parametrize("run", ["a/b", "../x", ".hidden", "a b", "a\n", "", "x" * 121])
def test_a_run_whose_name_is_no_folder_is_outside_of_the_shipped_schema(run: str) -> None:
    schema = json.dumps({"properties": {"run": task_schema()["properties"]["run"]}})
    assert outside(schema, json.dumps({"run": run})) == "task.run"
    for name in ("pilot-2026-11-24T21.06_seed0", "某研究-20261124-seed0"):
        assert outside(schema, json.dumps({"run": name})) is None


def test_a_study_that_is_over_is_refused(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = govern(nodes(1), tmp_path)
    banks.configs[0]["manifest"] = str(pinned(tmp_path, until=-timedelta(days=1)))
    assert code_of(train(banks, TASK)) == "expired"


def test_a_manifest_that_has_expired_is_none(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = govern(nodes(1), tmp_path)
    banks.configs[0]["manifest"] = str(pinned(tmp_path, expires=datetime.now(UTC) - timedelta(days=1)))
    assert code_of(train(banks, TASK)) == "manifest"


def test_a_newer_manifest_counts_at_once_and_an_older_one_never_again(bank: Nodes, tmp_path: Path) -> None:
    path = Path(bank.configs[0]["manifest"])
    assert code_of(train(bank, TASK)) == "none"
    first = path.read_bytes()
    pinned(tmp_path, 2, studies=())
    assert code_of(train(bank, TASK)) == "study"
    path.write_bytes(first)
    assert code_of(train(bank, TASK)) == "manifest"
    path.unlink()
    assert code_of(train(bank, TASK)) == "manifest"


def test_an_edited_manifest_is_none(bank: Nodes) -> None:
    path = Path(bank.configs[0]["manifest"])
    path.write_bytes(path.read_bytes().replace(b'"maximum": 4', b'"maximum": 9'))
    assert code_of(train(bank, TASK)) == "seal"


def test_a_schema_without_a_policy_is_held_too(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = nodes(1, manifest=str(pinned(tmp_path)))
    assert (code_of(train(banks, TASK)), code_of(train(banks, replace(TASK, seed=10)))) == ("none", "schema")


@pytest.mark.parametrize("broken", [{"$ref": "https://elsewhere.example/x"}, {"$ref": "#/no"}, {"pattern": "("}])
def test_a_schema_that_cannot_be_applied_allows_nothing_and_fetches_nothing(broken: dict[str, Any]) -> None:
    with pytest.raises(AskRefused, match="schema"):
        outside(json.dumps({"properties": {"run": broken}}), TASK.to_json())
