"""Evaluations under a signed policy: what it forbids is refused, what leaves is on record, and all of it agrees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message

from clients import counting
from clients.evaluations import Evaluations
from clients.leaves import Fixed, did_leave, fixed_by, will_leave
from clients.plain_policy import in_plain_words
from clients.policy_file import parse_policy
from clients.verify import verify_node
from fedcredit.errors import BudgetSpent
from fedcredit.federation.counting import CountTerms, Question
from fedcredit.federation.messages import COUNTS, COUNTS_MASKED, DESCRIBE, QUESTION, Task
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.statement import statements
from fedcredit.trust.keys import Identity
from server.consortium.studies import task_schema
from tests.clients.governed import ask, code_of, govern, logged
from tests.conftest import Nodes
from tests.federation.conftest import make_task

MakeNodes = Callable[..., Nodes]
NOISED = make_task(counts=CountTerms(evaluations=4, epsilon=2.0), metrics="noised")
EXACT = make_task(counts=CountTerms(evaluations=4))
BINS = Question(bins=16)
CELLS = (COUNTS, "arrays")


def asked(banks: Nodes, task: Task, *, number: int = 1) -> Message:
    return ask(banks, COUNTS, task, number=number, **{QUESTION: BINS.to_json()})


@pytest.mark.parametrize(
    ("rules", "task", "code"),
    [
        ({"metrics": "none"}, NOISED, "counts"),
        ({"metrics": "none"}, EXACT, "exact-metrics"),
        ({"metrics": "noised"}, EXACT, "exact-metrics"),
        ({"metrics": "noised", "evaluations": 3}, NOISED, "counts"),
        ({"metrics": "noised", "epsilon": {"metrics": 1.5}}, NOISED, "counts"),
        ({"metrics": "noised", "require_masks": True}, NOISED, "masks"),
        ({"metrics": "noised", "smallest_cohort": 2}, NOISED, "cohort"),
    ],
)
def test_what_a_rule_forbids_is_answered_by_its_word_and_no_row_is_counted(
    rules: dict[str, Any], task: Task, code: str, nodes: MakeNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    banks = govern(nodes(1), tmp_path, **rules)

    def touched(*arguments: Any, **settings: Any) -> None:
        raise AssertionError("a row was touched")

    monkeypatch.setattr(counting, "counted", touched)
    assert code_of(asked(banks, task)) == code
    assert code_of(ask(banks, DESCRIBE, task)) == code
    assert Evaluations.beside(Path(banks.configs[0]["ledger"]), "bank-0").answered("test") == 0
    assert Ledger(Path(banks.configs[0]["ledger"])).entries() == []


def test_noised_counts_are_on_record_with_their_charge_and_everything_agrees(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = govern(nodes(1), tmp_path, metrics="noised", evaluations=4, epsilon={"metrics": 2.0})
    assert code_of(asked(banks, NOISED)) == "none"
    assert code_of(asked(banks, NOISED, number=2)) == "none"
    config, lines = banks.configs[0], logged(banks)
    left = [line.facts for line in lines if line.event == "left"]
    assert [line.event for line in lines if line.event in ("asked", "left")] == ["asked", "left"] * 2
    assert left[0]["counts"] == {"split": "validation", "column": "", "shape": [1, 2, 16]}
    assert left[0]["charge"]["epsilon_metrics"] == 2.0
    assert "epsilon_of_run" not in left[0]["charge"]
    assert left[0]["arrays"] == [["counts", [1, 2, 16]]]
    found = did_leave(lines, run="test")
    assert (found.epsilon_of_run, found.epsilon_metrics, found.charges) == (None, 2.0, 2)
    public = Identity.load(Path(config["identity"])).public
    masks = Path(config["state"]) / "masks.sqlite"
    verified = verify_node(ledger=Path(config["ledger"]), audit=Path(config["audit"]), masks=masks, public=public)
    assert (verified.charges, verified.faults) == (2, ())


def test_counts_that_left_without_a_charge_are_found(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = govern(nodes(1), tmp_path, metrics="noised")
    asked(banks, NOISED)
    config = banks.configs[0]
    Path(config["ledger"]).unlink()
    public = Identity.load(Path(config["identity"])).public
    found = verify_node(
        ledger=Path(config["ledger"]), audit=Path(config["audit"]), masks=tmp_path / "none", public=public
    )
    assert [fault.found for fault in found.faults] == ["a charge that the ledger does not have"]


def test_the_lifetime_of_the_policy_holds_for_evaluations_too(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = govern(nodes(1), tmp_path, metrics="noised", epsilon={"lifetime": 1.0})
    # A policy with a lifetime asks for privacy in training as well.
    assert code_of(asked(banks, NOISED)) == "epsilon"
    from fedcredit.federation.messages import PrivacyTerms
    from fedcredit.models.train import LocalSettings

    terms = PrivacyTerms(epsilon=0.5, delta=1e-5, clip=1.0, sample_rate=0.5, steps=1, rounds=1)
    private = replace(NOISED, privacy=terms, local=LocalSettings("sgd", lr=0.1))
    assert code_of(asked(banks, private)) == "budget"
    assert Ledger(Path(banks.configs[0]["ledger"])).entries() == []


def test_a_study_s_rule_in_the_ledger_says_what_its_evaluations_spent(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = govern(nodes(1), tmp_path, metrics="noised")
    for number in (1, 2, 3, 4):
        asked(banks, NOISED, number=number)
    (statement,) = statements(Ledger(Path(banks.configs[0]["ledger"])).entries())
    (study,) = statement.studies
    assert study.charges == 4
    assert 1.95 < study.epsilon_metrics <= 2.0


def test_the_fewest_evaluations_that_were_stated_hold(tmp_path: Path) -> None:
    kept = Evaluations.beside(tmp_path / "ledger.sqlite", "bank-a")
    assert [kept.take("pilot", most=2, run="a", question="") for _ in range(2)] == [1, 2]
    with pytest.raises(BudgetSpent, match="at most 2"):
        kept.take("pilot", most=9, run="b", question="")
    assert kept.take("other", most=1, run="a", question="") == 1
    # Institutions that share a file, as in a study on one machine, do not share what they have answered.
    assert Evaluations.beside(tmp_path / "ledger.sqlite", "bank-b").take("pilot", most=1, run="a", question="") == 1
    assert (kept.answered("pilot"), kept.answered("other"), kept.answered("none")) == (2, 1, 0)


def test_leaves_says_whether_a_study_s_counts_leave_and_in_which_form() -> None:
    def sent(fixed: Fixed, allowed: str) -> dict[str, bool | None]:
        fields = will_leave(fixed, level=3, metrics_allowed=allowed)
        return {one.message: one.is_sent for one in fields if one.message in (COUNTS, COUNTS_MASKED)}

    masked = Fixed(is_masked=True, is_private=True, metrics="noised", evaluates=True)
    assert sent(masked, "noised") == {COUNTS: False, COUNTS_MASKED: True}
    assert sent(replace(masked, is_masked=False), "noised") == {COUNTS: True, COUNTS_MASKED: False}
    assert sent(masked, "none") == {COUNTS: False, COUNTS_MASKED: False}
    assert sent(replace(masked, evaluates=False), "exact") == {COUNTS: False, COUNTS_MASKED: False}
    assert sent(Fixed(), "exact") == {COUNTS: None, COUNTS_MASKED: None}
    holds = [
        [one.holds for one in will_leave(replace(masked, metrics=said), level=3) if (one.message, one.key) == CELLS]
        for said in ("noised", "exact")
    ]
    assert [["with noise" in words for words in found] for found in holds] == [[True], [False]]


def test_a_schema_says_whether_a_study_has_evaluations() -> None:
    schema = task_schema()
    assert fixed_by(schema).evaluates is None
    del schema["properties"]["counts"]
    assert fixed_by(schema).evaluates is False


def test_plain_words_name_the_evaluations() -> None:
    text = "{institution: a, purposes: [x], studies: ['*'], expires: 2027-12-31, metrics: noised, evaluations: 4}"
    words = " ".join(in_plain_words(parse_policy(text)))
    assert "with noise only, and each evaluation is charged" in words
    assert "4 a study at most" in words


def test_small_counts_are_zero_and_large_ones_stay() -> None:
    assert counting.suppressed(np.array([1, 9, 10, 0, 500])).tolist() == [0, 0, 10, 0, 500]
