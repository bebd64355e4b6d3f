"""`fedcredit node ledger` says what was spent, what is left and what would fit, and refuses in two lines."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from clients.node_cli import node
from fedcredit.errors import BudgetSpent, ConfigError, LedgerEdited
from fedcredit.privacy.ledger import Account, Ledger, ledger_path
from fedcredit.privacy.mechanism import Mechanism, joint_epsilon
from fedcredit.privacy.schedule import Calendar, fit

ROUND = Mechanism("training", 8.0, sampling="poisson", sample_rate=0.5, count=2)
Said = Callable[..., str]


@pytest.fixture
def said() -> Said:
    """What the command prints on stdout; its error is raised."""

    def run(*words: object) -> str:
        done = CliRunner().invoke(node, [str(word) for word in words])
        if done.exception:
            raise done.exception
        return done.stdout

    return run


@pytest.fixture
def ledger() -> Ledger:
    """A bank's ledger with two studies: one run of 30 rounds, of which 20 were charged, and one of 30."""
    made = Ledger(ledger_path("bank-a"))
    for study, rounds in (("first", 20), ("second", 30)):
        account = Account(f"{study}-1", study, "d", ("bank-a",), 1e-5)
        made.plan(account, [ROUND.times(30)])
        for number in range(1, rounds + 1):
            made.charge(account, ROUND, number=number)
    return made


def epsilon(rounds: int, *, institutions: int = 1) -> float:
    return joint_epsilon([ROUND.times(rounds)], delta=1e-5, institutions=institutions)


def test_the_ledger_shows_spend_by_study_what_is_left_and_the_next_run(
    said: Said, ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text("lifetime_epsilon: 4.5\ninstitutions: 3\n")
    found: dict[str, Any] = json.loads(said("ledger", "--json", "--ceilings", tmp_path / "c.yaml"))
    assert (found["entries"], found["verified"], found["head"]) == (52, True, ledger.entries()[-1].hash)
    (bank,) = found["populations"]
    assert bank["lifetime"] == epsilon(50)
    assert bank["committed"] == epsilon(60)  # ten rounds of the first run are still open
    assert bank["left"] == 4.5 - epsilon(60)
    assert bank["across_institutions"] == epsilon(50, institutions=3)
    assert [(s["study"], s["runs"], s["charges"], s["epsilon"]) for s in bank["studies"]] == [
        ("first", 1, 20, epsilon(20)),
        ("second", 1, 30, epsilon(30)),
    ]
    # 60 rounds spend 2.88, 90 spend 3.60, 120 spend 4.26: two runs like the last still fit under 4.5.
    assert bank["next_run"] == {"epsilon": epsilon(30), "lifetime_after": epsilon(90), "fits": 2}
    shown = said("ledger")
    assert "52 entries, chain verified" in shown
    assert "no ceiling set" in shown


def test_without_ceilings_those_of_the_policy_beside_the_ledger_count(said: Said, ledger: Ledger) -> None:
    template = (Path(__file__).parents[2] / "server" / "deploy" / "policy-template.yaml").read_text()
    policy = template.replace("${institution}", "bank-a").replace("${expires}", "2999-12-31")
    ledger.path.with_name("policy.yaml").write_text(policy)
    assert "ceiling 8, left" in said("ledger")
    ledger.path.with_name("policy.yaml").write_text("no: policy")  # the ledger is shown all the same
    assert "no ceiling set" in said("ledger")


def test_the_cost_of_a_next_run_of_another_epsilon(said: Said, ledger: Ledger) -> None:
    (bank,) = json.loads(said("ledger", "--json", "--next", 1, "--ledger", ledger.path))["populations"]
    assert 0.99 < bank["next_run"]["epsilon"] <= 1.0
    assert epsilon(60) < bank["next_run"]["lifetime_after"] < epsilon(60) + 1.0


def test_a_closed_run_reserves_nothing(said: Said, ledger: Ledger) -> None:
    assert said("ledger", "close", "first-1") == "closed first-1\n"
    (bank,) = json.loads(said("ledger", "--json"))["populations"]
    assert bank["committed"] == bank["lifetime"] == epsilon(50)


def test_a_ledger_edited_by_hand_is_not_shown(said: Said, ledger: Ledger) -> None:
    with sqlite3.connect(ledger.path) as db:
        db.executescript("DROP TRIGGER no_delete; DELETE FROM entries WHERE seq > 10")
    db.close()
    with pytest.raises(LedgerEdited) as caught:
        said("ledger")
    assert caught.value.exit_code == 3


def test_without_one_ledger_its_name_is_asked_for(said: Said, ledger: Ledger, tmp_path: Path) -> None:
    Ledger(ledger_path("bank-b")).plan(Account("r", "s", "d", ("b",), 1e-5), [ROUND])
    with pytest.raises(ConfigError, match="bank-a, bank-b"):
        said("ledger")
    with pytest.raises(ConfigError, match="no file"):
        said("ledger", "--ledger", tmp_path / "none.sqlite")
    assert "bank-a" in said("ledger", "--ledger", ledger.path)


def test_an_option_before_the_verb_is_not_ignored(said: Said, ledger: Ledger) -> None:
    with pytest.raises(ConfigError, match="before the verb"):
        said("ledger", "--ledger", ledger.path, "close", "first-1")


PLAN = ["ledger", "plan", "--retrains", 3, "--months", 6, "--steps", 200, "--start", "2027-01-31", "--lifetime", 4]


def test_a_calendar_fits_into_the_lifetime_date_by_date(said: Said) -> None:
    found: dict[str, Any] = json.loads(said(*PLAN, "--json"))
    visits = found["visits"]
    assert [visit["on"] for visit in visits if visit["what"] == "retrain"] == ["2027-01-28", "2027-04-28", "2027-07-28"]
    assert len([visit for visit in visits if visit["what"] == "monitoring"]) == 6
    lifetimes = [visit["lifetime"] for visit in visits]
    assert lifetimes == sorted(lifetimes)
    assert 3.99 < lifetimes[-1] <= 4.0
    whole = [
        Mechanism("training", found["training_noise"], sampling="poisson", sample_rate=0.1, count=600),
        Mechanism("metrics", found["metrics_noise"], count=6),
    ]
    assert joint_epsilon(whole, delta=1e-6) == lifetimes[-1]
    assert found["metrics_epsilon"] <= 0.4
    assert "2027-04-28  retrain" in said(*PLAN)


def test_what_was_spent_before_comes_off_the_calendar(said: Said, ledger: Ledger) -> None:
    fresh, after = (
        json.loads(said(*PLAN, "--delta", 1e-5, *more, "--json")) for more in ([], ["--population", "bank-a"])
    )
    assert after["training_noise"] > fresh["training_noise"]
    assert after["visits"][-1]["lifetime"] <= 4.0
    with pytest.raises(ConfigError, match="does not know"):
        said(*PLAN, "--population", "bank-z")


def test_a_calendar_for_which_nothing_is_left_is_refused() -> None:
    with pytest.raises(BudgetSpent, match="spent or planned before the first training") as caught:
        fit(Calendar(date(2027, 1, 1)), lifetime_epsilon=2.0, delta=1e-5, before=[ROUND.times(60)])
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("wrong", [["--retrains", 0], ["--monitoring-share", 1.0], ["--start", "soon"]])
def test_a_calendar_that_is_none_is_refused(said: Said, wrong: list[object]) -> None:
    with pytest.raises(ConfigError):
        said(*PLAN, *wrong)
