"""What was spent is on disk before it is spent; nothing makes it less, and nobody overdraws it."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sqlite3
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from fedcredit.errors import BudgetSpent, CheckpointError, LedgerEdited, PolicyRefused
from fedcredit.privacy.ceilings import Ceilings
from fedcredit.privacy.history import committed
from fedcredit.privacy.ledger import Account, Ledger
from fedcredit.privacy.mechanism import Mechanism, joint_epsilon
from fedcredit.privacy.statement import figures, statements
from tests.conftest import small_files

BANK = Account("run-1", study="study-1", dataset="d" * 64, populations=("companies of a",), delta=1e-5)
ROUND = Mechanism("training", 8.0, sampling="poisson", sample_rate=0.5, count=2)  # 60 rounds: epsilon 2.88
PLAN = [ROUND.times(60)]
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "own" / "ledger.sqlite")


def run(name: str) -> Account:
    return replace(BANK, run=name)


def charges(ledger: Ledger) -> list[tuple[str, int, int]]:
    return [(entry.run, entry.round, entry.attempt) for entry in ledger.entries() if entry.event == "charge"]


def test_nothing_is_spent_at_first(ledger: Ledger) -> None:
    assert (ledger.entries(), ledger.history(BANK), ledger.has_charged(BANK)) == ([], [], False)
    assert not ledger.path.exists()


def test_only_its_owner_can_read_the_ledger(ledger: Ledger) -> None:
    ledger.plan(BANK, PLAN)
    assert oct(ledger.path.stat().st_mode & 0o777) == "0o600"


def test_charges_add_up_over_rounds_and_studies(ledger: Ledger) -> None:
    for account in (BANK, run("run-2"), replace(run("run-3"), study="study-2")):
        ledger.plan(account, PLAN)
        for number in range(1, 31):
            ledger.charge(account, ROUND, number=number)
    found = figures(ledger.entries(), run="run-1", population="companies of a", institutions=2)
    # Equal rounds compose by their number: 60 noisy steps a run, 120 the first study, 180 in all, 360 at two banks.
    for figure, steps in ((found.run, 60), (found.study, 120), (found.lifetime, 180), (found.across_institutions, 360)):
        assert figure == joint_epsilon([replace(ROUND, count=steps)], delta=1e-5)
    assert ledger.history(BANK) == [ROUND.times(30)]


def test_a_round_that_is_trained_again_after_a_crash_is_charged_again(ledger: Ledger) -> None:
    ledger.plan(BANK, PLAN)
    for _ in range(2):
        assert ledger.charge(BANK, ROUND, number=7).is_new
    assert charges(ledger) == [("run-1", 7, 1), ("run-1", 7, 2)]


def test_the_same_attempt_again_is_one_charge_and_says_so(ledger: Ledger) -> None:
    ledger.plan(BANK, PLAN)
    first = ledger.charge(BANK, ROUND, number=7, attempt=3)
    again = ledger.charge(BANK, ROUND, number=7, attempt=3)
    assert (first.is_new, again.is_new, again.entries) == (True, False, first.entries)
    assert charges(ledger) == [("run-1", 7, 3)]


def test_a_metric_of_the_same_round_is_another_charge(ledger: Ledger) -> None:
    metric = Mechanism("metrics", 40.0)
    ledger.plan(BANK, [*PLAN, metric.times(3)])
    ledger.charge(BANK, ROUND, number=1, attempt=1)
    assert ledger.charge(BANK, metric, number=1, attempt=1).is_new
    assert set(ledger.history(BANK)) == {ROUND, metric}


def test_a_run_cannot_charge_more_than_it_planned(ledger: Ledger) -> None:
    ledger.plan(BANK, [ROUND.times(2)])
    for number in (1, 2):
        ledger.charge(BANK, ROUND, number=number)
    with pytest.raises(BudgetSpent, match="4 of 4 planned training steps charged, and 2 more asked"):
        ledger.charge(BANK, ROUND, number=3)
    assert len(charges(ledger)) == 2


def test_a_round_may_have_more_noise_than_planned_and_never_less(ledger: Ledger) -> None:
    ledger.plan(BANK, [ROUND.times(2)])
    with pytest.raises(BudgetSpent, match="with no less noise"):
        ledger.charge(BANK, replace(ROUND, noise_scale=7.9), number=1)
    more = replace(ROUND, noise_scale=9.0)
    ledger.charge(BANK, more, number=1)
    # The lifetime is what was charged and the rest of the plan, not the plan beside it.
    assert set(committed(ledger.entries())) == {more, ROUND}
    ledger.charge(BANK, ROUND, number=2)
    with pytest.raises(BudgetSpent):
        ledger.charge(BANK, more, number=3)


def test_on_public_rows_what_a_crash_repeats_is_charged_beyond_the_plan(ledger: Ledger) -> None:
    ledger.plan(BANK, [ROUND])
    for _ in range(3):
        ledger.charge(BANK, ROUND, number=1, is_beyond_plan_allowed=True)
    assert ledger.history(BANK) == [ROUND.times(3)]


def test_a_run_of_another_plan_under_a_known_name_is_refused(ledger: Ledger) -> None:
    assert ledger.plan(BANK, PLAN) == ledger.plan(BANK, PLAN)
    with pytest.raises(PolicyRefused, match="another plan under this name"):
        ledger.plan(BANK, [ROUND.times(120)])


def test_a_plan_over_the_lifetimes_ceiling_is_refused_before_anything_is_charged(ledger: Ledger) -> None:
    ledger = replace(ledger, ceilings=Ceilings(lifetime_epsilon=4.0))
    ledger.plan(BANK, PLAN)
    with pytest.raises(BudgetSpent) as caught:
        ledger.plan(run("run-2"), PLAN)
    assert caught.value.as_dict() == {
        "error": "BudgetSpent",
        "where": "lifetime of the companies",
        "found": "epsilon 4.26 with this run, 2.876 without it",
        "expected": "at most 4",
        "hint": "ask for a smaller epsilon; fedcredit node ledger shows what is left, ledger plan what would fit",
        "code": "budget",
    }
    assert {entry.run for entry in ledger.entries()} == {"run-1"}


def test_a_plan_over_the_ceiling_of_one_run_is_refused(ledger: Ledger) -> None:
    with pytest.raises(BudgetSpent, match=r"run: found epsilon 2\.877"):
        replace(ledger, ceilings=Ceilings(run_epsilon=2.0)).plan(BANK, PLAN)


def test_failed_runs_and_sweeps_count_and_closing_gives_back_only_what_was_not_charged(ledger: Ledger) -> None:
    ledger = replace(ledger, ceilings=Ceilings(lifetime_epsilon=3.5))
    ledger.plan(BANK, PLAN)
    for number in range(1, 7):
        ledger.charge(BANK, ROUND, number=number)  # and then it failed
    with pytest.raises(BudgetSpent):
        ledger.plan(run("run-2"), PLAN)
    ledger.close("run-1")
    (after,) = {entry.epsilon_after for entry in ledger.plan(run("run-2"), PLAN)}
    assert after == joint_epsilon([ROUND.times(66)], delta=1e-5) < 3.5
    with pytest.raises(BudgetSpent, match="a closed run"):
        ledger.charge(BANK, ROUND, number=7)


def test_a_single_release_without_a_plan_is_held_against_the_ceiling(ledger: Ledger) -> None:
    ledger = replace(ledger, ceilings=Ceilings(lifetime_epsilon=1.0))
    release = Mechanism("statistic", 2.0, noise="laplace")  # epsilon 1/2, and two of them 1
    ledger.charge(run("mean"), release)
    with pytest.raises(BudgetSpent):
        ledger.charge(run("median"), replace(release, noise_scale=1.0))
    assert ledger.charge(run("again"), replace(release, noise_scale=4.0)).is_new


def test_a_pooled_run_is_charged_to_every_population_whose_rows_it_holds(ledger: Ledger) -> None:
    both = replace(BANK, populations=("companies of a", "companies of b"))
    ledger.plan(both, PLAN)
    ledger.charge(both, ROUND, number=1)
    found = {one.population: one.lifetime for one in statements(ledger.entries())}
    assert found == dict.fromkeys(both.populations, joint_epsilon([ROUND], delta=1e-5))


def test_two_institutions_of_one_run_in_one_ledger_keep_a_plan_each(ledger: Ledger) -> None:
    for population in ("companies of a", "companies of b"):
        account = replace(BANK, populations=(population,))
        ledger.plan(account, PLAN)
        assert ledger.charge(account, ROUND, number=1, attempt=1).is_new


def test_epsilon_after_a_round_is_that_of_its_whole_plan(ledger: Ledger) -> None:
    (plan,) = ledger.plan(BANK, PLAN)
    (entry,) = ledger.charge(BANK, ROUND, number=1).entries
    assert entry.epsilon_after == plan.epsilon_after == joint_epsilon(PLAN, delta=1e-5)


def test_a_round_is_charged_in_milliseconds(ledger: Ledger) -> None:
    ledger.plan(BANK, [ROUND.times(150)])
    seconds = []
    for number in range(1, 121):
        began = time.thread_time()  # what it computes: how long a sync takes is for the disk and its other users to say
        ledger.charge(BANK, ROUND, number=number)
        seconds.append(time.thread_time() - began)
    # 1 ms, as long at the 120th round as at the first.
    assert statistics.median(seconds) < 0.1
    assert min(seconds[-40:]) < 5 * min(seconds[:40])


# Crashes and full disks.


def in_a_process(target: Callable[..., object], *arguments: object) -> int | None:
    process = FORK.Process(target=target, args=arguments)
    process.start()
    process.join(60)
    return process.exitcode


def charge_and_die(ledger: Ledger) -> None:
    ledger.charge(BANK, ROUND, number=1)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_charge_survives_kill_9_before_the_training_it_is_for(ledger: Ledger) -> None:
    ledger.plan(BANK, PLAN)
    assert in_a_process(charge_and_die, ledger) == -signal.SIGKILL
    assert charges(ledger) == [("run-1", 1, 1)]
    ledger.charge(BANK, ROUND, number=1)  # the resumed round trains again, and is charged again
    assert charges(ledger) == [("run-1", 1, 1), ("run-1", 1, 2)]


def write_half_and_die(ledger: Ledger) -> None:
    db = sqlite3.connect(ledger.path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    columns = (
        "time, scope, dataset, population, study, run, round, kind, mechanism, count, delta, epsilon_after, previous"
    )
    values = f"{columns}, 2, 'charge', 1, 'half'"
    db.execute(f"INSERT INTO entries ({columns}, seq, event, attempt, hash) SELECT {values} FROM entries")  # noqa: S608
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_writer_that_dies_in_the_middle_leaves_the_ledger_as_it_was(ledger: Ledger) -> None:
    ledger.plan(BANK, PLAN)
    in_a_process(write_half_and_die, ledger)
    ledger.charge(BANK, ROUND, number=1)
    assert [entry.event for entry in ledger.entries()] == ["plan", "charge"]


def test_a_file_that_cannot_grow_refuses_the_charge(ledger: Ledger) -> None:
    ledger.plan(BANK, PLAN)
    with small_files(), pytest.raises(CheckpointError) as caught:
        ledger.charge(BANK, ROUND, number=1)
    assert "nothing was charged or trained" in caught.value.hint
    assert charges(ledger) == []
    ledger.charge(BANK, ROUND, number=1)
    assert charges(ledger) == [("run-1", 1, 1)]


def test_a_ledger_that_cannot_be_opened_refuses_the_charge(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="unable to open"):
        Ledger(tmp_path).charge(BANK, ROUND)
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=os.strerror(errno.EEXIST)):
        Ledger(tmp_path / "file" / "ledger.sqlite").charge(BANK, ROUND)


# Attacks.


def plan_at_once(ledger: Ledger, name: str, start: Barrier) -> None:
    start.wait(30)
    try:
        ledger.plan(run(name), PLAN)
    except BudgetSpent:
        os._exit(3)
    os._exit(0)


def test_ledger_overdrawn_by_two_runs_at_once(ledger: Ledger) -> None:
    # Each run fits under 4 alone; both together spend 4.26. The ledger does not even exist when they start.
    ledger = replace(ledger, ceilings=Ceilings(lifetime_epsilon=4.0))
    joint_epsilon(PLAN, delta=1e-5)  # known to both, so that they meet at the lock
    start = FORK.Barrier(2)
    processes = [FORK.Process(target=plan_at_once, args=(ledger, name, start)) for name in ("a", "b")]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert sorted(process.exitcode or 0 for process in processes) == [0, 3]
    assert len(ledger.entries()) == 1


def charge_many(ledger: Ledger, account: Account) -> None:
    for number in range(1, 21):
        ledger.charge(account, ROUND, number=number)


def test_two_runs_that_charge_at_once_lose_nothing(ledger: Ledger) -> None:
    for name in ("a", "b"):
        ledger.plan(run(name), PLAN)
    processes = [FORK.Process(target=charge_many, args=(ledger, run(name))) for name in ("a", "b")]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(charges(ledger)) == [(name, number, 1) for name in ("a", "b") for number in range(1, 21)]


HAND = "DROP TRIGGER no_update; DROP TRIGGER no_delete; "
EDITS = {
    "a count made smaller": "UPDATE entries SET count = 1 WHERE seq = 1",
    "more noise than there was": """UPDATE entries SET mechanism = replace(mechanism, '8.0', '80.0') WHERE seq = 3""",
    "an entry deleted": "DELETE FROM entries WHERE seq = 2",
    "the last entries deleted": "DELETE FROM entries WHERE seq > 2",
    "everything deleted": "DELETE FROM entries",
    "two entries swapped": """
        UPDATE entries SET seq = 99 WHERE seq = 2; UPDATE entries SET seq = 2 WHERE seq = 3;
        UPDATE entries SET seq = 3 WHERE seq = 99""",
    "a charge moved to another population": "UPDATE entries SET population = 'nobody' WHERE seq = 4",
    "a digest that fits nothing": "UPDATE entries SET hash = 'x' WHERE seq = 4",
}


@pytest.mark.parametrize("edit", EDITS)
def test_ledger_edited_by_hand(edit: str, ledger: Ledger) -> None:
    ledger.plan(BANK, PLAN)
    for number in (1, 2, 3):
        ledger.charge(BANK, ROUND, number=number)
    with sqlite3.connect(ledger.path) as db:
        db.executescript(HAND + EDITS[edit])
    db.close()
    for use in (ledger.entries, lambda: ledger.charge(BANK, ROUND, number=4), lambda: ledger.plan(run("b"), PLAN)):
        with pytest.raises(LedgerEdited) as caught:
            use()
    assert (caught.value.code, caught.value.exit_code) == ("ledger", 3)


def test_an_entry_can_be_neither_changed_nor_deleted_by_a_slip(ledger: Ledger) -> None:
    ledger.plan(BANK, PLAN)
    db = sqlite3.connect(ledger.path)
    for slip in ("UPDATE entries SET count = 1", "DELETE FROM entries"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(slip)
    db.close()


def test_a_file_that_is_no_ledger_is_refused(ledger: Ledger) -> None:
    ledger.path.parent.mkdir()
    ledger.path.write_text("epsilon: 0\n" * 100)
    with pytest.raises(LedgerEdited, match="a file that is no ledger"):
        ledger.charge(BANK, ROUND)
