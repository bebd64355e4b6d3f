"""Twelve retrains of a tiny economy spend a lifetime's epsilon; the thirteenth is refused and the last model stays."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from experiments.lifetime_budget import vintages as making
from experiments.lifetime_budget.judge import judge
from experiments.lifetime_budget.lives import Life, live
from experiments.lifetime_budget.plan import Budget, epsilons
from experiments.lifetime_budget.vintages import Setting, vintages
from fedcredit.__main__ import main
from fedcredit.data.windows import Windows
from fedcredit.errors import BudgetSpent
from fedcredit.privacy.ceilings import Ceilings
from fedcredit.privacy.history import charged
from fedcredit.privacy.ledger import Account, Ledger
from fedcredit.privacy.mechanism import joint_epsilon

BUDGET = Budget(first_rounds=3, later_rounds=2)
DELTA = 1e-5


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Windows]:
    """Vintages of four regions, kept in a cache of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDCREDIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        made = dict(vintages(Setting(seed=3, companies=400, regions=4)))
        patch.setattr(making, "_make", None)  # the second time they come from the cache
        again = vintages(Setting(seed=3, companies=400, regions=4))
    assert all(np.array_equal(made[quarter].x, again[quarter].x) for quarter in made)
    return made


@pytest.fixture(scope="module")
def life(held: dict[int, Windows], tmp_path_factory: pytest.TempPathFactory) -> tuple[Life, Path]:
    folder = tmp_path_factory.mktemp("life")
    return live("distributed", held, budget=BUDGET, delta=DELTA, seed=0, folder=folder), folder


@pytest.mark.slow
def test_twelve_retrains_spend_the_lifetime_and_no_more(life: tuple[Life, Path]) -> None:
    lived, folder = life
    assert len(lived.models) == 12
    ledgers = [Ledger(path) for path in sorted((folder / "ledgers").glob("*.sqlite"))]
    assert len(ledgers) == 4
    for ledger in ledgers:
        entries = ledger.entries()  # raises where the chain is broken
        charges = [entry for entry in entries if entry.event == "charge"]
        assert len({entry.run for entry in charges}) == 12
        assert len(charges) == sum(BUDGET.rounds) == 25
        assert 7.9 < joint_epsilon(charged(entries), delta=DELTA) <= 8.0


@pytest.mark.slow
def test_the_thirteenth_retrain_is_refused_before_a_row_is_touched(life: tuple[Life, Path]) -> None:
    lived, folder = life
    assert lived.refused is not None
    assert "error-budget" in lived.refused.platform
    assert "lifetime of the companies: found epsilon 8." in lived.refused.institution
    assert "expected at most 8" in lived.refused.institution
    runs = {entry.run for path in (folder / "ledgers").glob("*.sqlite") for entry in Ledger(path).entries()}
    assert not any(run.endswith("retrain-13") for run in runs)


@pytest.mark.slow
def test_after_the_refusal_an_institutions_own_ledger_says_what_is_left_and_nothing_fits(
    life: tuple[Life, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = life
    files = ["--ledger", str(folder / "ledgers" / "0.sqlite"), "--ceilings", str(folder / "ceilings.yaml")]
    main(["node", "ledger", *files, "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said["verified"]
    assert 0 <= said["populations"][0]["left"] < 0.1
    assert said["populations"][0]["next_run"]["fits"] == 0
    ledger = Ledger(folder / "ledgers" / "0.sqlite", Ceilings(lifetime_epsilon=8.0))
    last = ledger.entries()[-1]
    account = Account("retrain-13", last.study, last.dataset, (last.population,), last.delta)
    with pytest.raises(BudgetSpent, match="lifetime of the companies") as told:
        ledger.plan(account, [last.spends.times(2)])
    assert told.value.exit_code == 3


@pytest.mark.slow
def test_after_the_refusal_the_last_model_stays_in_service(life: tuple[Life, Path]) -> None:
    lived, _ = life
    assert lived.in_service(12) is lived.in_service(11) is lived.models[-1]


@pytest.mark.slow
def test_a_retrain_starts_from_the_model_before_it(life: tuple[Life, Path]) -> None:
    # Adam moves a weight by at most about eta a round, so a warm start is near the model before it, a fresh one is not.
    lived, _ = life
    first, last = lived.models[0]["head.weight"], lived.models[-1]["head.weight"]
    reach = 2 * BUDGET.eta * BUDGET.later_rounds
    for one, other in zip(lived.models, lived.models[1:], strict=False):
        assert 0 < np.abs(one["head.weight"] - other["head.weight"]).max() < reach
    assert np.abs(last - first).max() > reach


@pytest.mark.slow
def test_a_life_that_was_lived_is_read_and_not_charged_again(life: tuple[Life, Path], held: dict[int, Windows]) -> None:
    lived, folder = life
    before = [len(Ledger(path).entries()) for path in sorted((folder / "ledgers").glob("*.sqlite"))]
    again = live("distributed", held, budget=BUDGET, delta=DELTA, seed=0, folder=folder)
    assert [len(Ledger(path).entries()) for path in sorted((folder / "ledgers").glob("*.sqlite"))] == before
    assert again.refused == lived.refused
    kept = load_file(folder / "model-12.safetensors")
    assert all(np.array_equal(kept[name], value) for name, value in again.models[-1].items())
    assert json.loads((folder / "refused.json").read_text()) == asdict(lived.refused)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_model_is_judged_on_companies_that_never_train(held: dict[int, Windows]) -> None:
    trained = {company for rows in held.values() for company in rows.part("train").company}
    judged = judge(
        held,
        lambda arm, quarter, rows: np.stack([rows.y.astype(float) if arm == "right" else -rows.y.astype(float)]),
        arms=["right", "wrong"],
        against="right",
        quarters=2,
        draws=50,
    )
    assert judged["loss"]["wrong"]["mean"] == [1.0, 1.0, 1.0]
    assert judged["rows"][0]["n"] == len(held[0].part("validation", "test"))
    assert not trained & {c for rows in held.values() for c in rows.part("validation", "test").company}


def test_twelve_equal_retrains_cost_more_than_a_twelfth_each() -> None:
    each = epsilons(Budget(first_rounds=5, later_rounds=5), delta=DELTA)
    assert len(each) == 12
    assert len(set(each)) == 1
    assert 8 / 12 < each[0] < 8 / 3
