"""What arrives as a task is a stranger's text: it is a checked task or it is refused."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from flwr.app import ConfigRecord

from fedcredit.errors import ConfigError
from fedcredit.federation.messages import MAX_TASK_BYTES, PrivacyTerms, Task
from tests.federation.conftest import make_task

TERMS = PrivacyTerms(epsilon=3.0, delta=1e-5, clip=1.0, sample_rate=0.1, steps=2, rounds=5)


def altered(**fields: Any) -> str:
    return json.dumps({**json.loads(make_task(privacy=TERMS).to_json()), **fields})


def nested(group: str, **fields: Any) -> str:
    raw = json.loads(make_task(privacy=TERMS).to_json())
    return json.dumps({**raw, group: {**raw[group], **fields}})


def test_a_task_survives_the_journey_with_its_privacy_terms() -> None:
    task = make_task(privacy=TERMS)
    assert Task.from_config(task.as_config(**{"server-round": 3})) == task


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "task"),
        ("{", "task"),
        ("[" * 50_000, "task"),
        ("null", "task"),
        ("[]", "task"),
        ("3", "task"),
        ("{}", "task"),
        ('{"run": "x"}', "task"),
        (" " * (MAX_TASK_BYTES + 1), "task"),
        ("贷" * (MAX_TASK_BYTES // 3 + 1), "task"),
        (altered(command="rm"), "task"),
        (altered(seed="7"), "task.seed"),
        (altered(seed=7.0), "task.seed"),
        (altered(seed=True), "task.seed"),
        (altered(seed=None), "task.seed"),
        (altered(features="debt"), "task.features"),
        (altered(features=["debt", 3]), "task.features[1]"),
        (altered(share="head"), "task.share"),
        (altered(share=["body"]), "task.share"),
        (altered(model="logistic"), "task.model"),
        (altered(privacy=[]), "task.privacy"),
        (altered(time=0), "task.time"),
        (altered(time=10**9), "task.time"),
        (altered(personal_mu=float("nan")), "task.personal_mu"),
        (altered(personal_mu=float("inf")), "task.personal_mu"),
        (altered(personal_mu=-1.0), "task.personal_mu"),
        (nested("model", kind="transformer"), "task.model.kind"),
        (nested("model", hidden=10**6), "task.hidden"),
        (nested("model", layers=10**6), "task.layers"),
        (nested("model", hidden=0), "task.model.hidden"),
        (nested("local", lr=float("nan")), "task.local.lr"),
        (nested("local", lr=float("inf")), "task.local.lr"),
        (nested("local", steps=0), "task.local.steps"),
        (nested("privacy", epsilon=0), "task.privacy.epsilon"),
        (nested("privacy", epsilon=-1), "task.privacy.epsilon"),
        (nested("privacy", epsilon=float("nan")), "task.privacy.epsilon"),
        (nested("privacy", epsilon=float("inf")), "task.privacy.epsilon"),
        (nested("privacy", epsilon=None), "task.privacy.epsilon"),
        (nested("privacy", delta=0.5), "task.privacy.delta"),
        (nested("privacy", clip=0), "task.privacy.clip"),
        (nested("privacy", sample_rate=1.5), "task.privacy.sample_rate"),
        (nested("privacy", rounds=0), "task.privacy.steps"),
        (nested("privacy", noise_multiplier=0.0), "task.privacy"),
    ],
)
def test_a_hostile_task_is_refused_with_its_place(text: str, where: str) -> None:
    config = ConfigRecord({"task": text, "task-sha256": hashlib.sha256(text.encode()).hexdigest()})
    with pytest.raises(ConfigError) as caught:
        Task.from_config(config)
    assert caught.value.where == where
    assert len(str(caught.value)) < 1000


def test_a_task_without_one_of_its_fields_is_refused_even_where_a_default_exists() -> None:
    raw = json.loads(make_task().to_json())
    del raw["privacy"]  # left out on the way, it would mean: no noise
    with pytest.raises(ConfigError, match="no privacy"):
        Task.from_json(json.dumps(raw))


@pytest.mark.parametrize("digest", ["", "0" * 64, 7, None])
def test_a_digest_that_does_not_fit_is_refused(digest: Any) -> None:
    config = make_task().as_config()
    if digest is None:
        del config["task-sha256"]
    else:
        config["task-sha256"] = digest
    with pytest.raises(ConfigError, match="a digest that does not fit"):
        Task.from_config(config)


@pytest.mark.parametrize("task", [7, b"{}", ["{}"]])
def test_a_task_that_is_no_text_is_refused(task: Any) -> None:
    with pytest.raises(ConfigError, match="a digest that does not fit"):
        Task.from_config(ConfigRecord({"task": task, "task-sha256": ""}))
