"""What one institution gains by joining, and the verdict."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedcredit.errors import ConfigError, RunError
from fedcredit.evaluation.changes import Change, Terms
from fedcredit.evaluation.figures import lending
from fedcredit.evaluation.gain import chosen_variant, gains
from fedcredit.evaluation.metrics import auc, ks
from fedcredit.evaluation.panel import Panel, read_panel
from fedcredit.evaluation.verdict import verdict_of

FEW = 200
UP, FLAT, DOWN = (
    Change(0.7, 0.8, 0.1, 0.05, 0.15),
    Change(0.7, 0.7, 0.0, -0.1, 0.1),
    Change(0.8, 0.7, -0.1, -0.2, -0.05),
)
CHEAPER, DEARER, RUINOUS = Change(9, 8, -1, -3, 1), Change(8, 9, 1, -1, 3), Change(8, 12, 4, 1, 7)


@pytest.fixture(scope="module")
def panel(predictions: pd.DataFrame) -> Panel:
    return read_panel(predictions, "test")


def two_arms(federated: np.ndarray, own: np.ndarray, y: np.ndarray, **columns: object) -> Panel:
    base = {
        "method": "m",
        "model": "m",
        "left_out": None,
        "epsilon": np.nan,
        "noise": "none",
        "seed": 0,
        "split": "test",
    }
    rows = {"company": [f"c{number}" for number in range(len(y))], "institution": "B", "y": y, **columns}
    arms = (("federated", None, federated), ("best_alone", "B", own))
    frames = [pd.DataFrame({**base, **rows, "arm": arm, "model_institution": who, "p": p}) for arm, who, p in arms]
    return read_panel(pd.concat(frames), "test")


@pytest.mark.parametrize(
    ("auc_change", "loss", "verdict"),
    [
        (UP, CHEAPER, "join"),
        (UP, DEARER, "not proven"),
        (UP, RUINOUS, "do not join"),
        (FLAT, CHEAPER, "not proven"),
        (DOWN, CHEAPER, "do not join"),
        (FLAT, RUINOUS, "do not join"),
    ],
)
def test_the_verdict_follows_its_rule(auc_change: Change, loss: Change, verdict: str) -> None:
    assert verdict_of(auc_change, loss)[0] == verdict


def test_a_much_better_model_is_worth_joining_and_a_worse_one_is_not() -> None:
    rng = np.random.default_rng(1)
    y = (rng.random(1500) < 0.2).astype(int)
    good, bad = 1 / (1 + np.exp(2 - 2 * y - rng.normal(size=1500))), rng.random(1500)
    assert [one.verdict for one in gains(two_arms(good, bad, y), draws=FEW)] == ["join"]
    assert [one.verdict for one in gains(two_arms(bad, good, y), draws=FEW)] == ["do not join"]


def test_the_same_scores_change_nothing() -> None:
    y = np.tile([1, 0, 0, 0], 20)
    p = np.random.default_rng(0).random(80)
    (found,) = gains(two_arms(p, p, y), draws=FEW)
    changes = found.against[0].changes
    for change in (changes.auc, changes.ks, changes.bad_rate, changes.approval_rate, changes.expected_loss):
        assert (change.difference, change.low, change.high) == (0, 0, 0)
    assert found.verdict == "not proven"


def test_figures_are_those_of_the_rows_by_hand() -> None:
    # 100 applicants, 20 defaults; the own model is blind (one score), the federated ranks perfectly.
    y = np.repeat([0, 1], [80, 20])
    terms = Terms(approval_rate=0.9, average_loan=1_000.0, lgd=0.5)
    (found,) = gains(two_arms(np.linspace(0.1, 0.9, 100), np.full(100, 0.2), y), terms=terms, draws=FEW)
    changes = found.against[0].changes
    assert (changes.auc.baseline, changes.auc.federated) == (0.5, 1.0)
    assert (changes.ks.baseline, changes.ks.federated) == (0.0, 1.0)
    assert (changes.bad_rate.baseline, changes.bad_rate.federated) == pytest.approx((0.2, 10 / 90))
    assert (changes.approval_rate.baseline, changes.approval_rate.federated) == pytest.approx((1.0, 1.0))
    # Of 100 applicants 18 and 10 approved ones default; for 1,000 applicants ten times, at half of 1,000 lost each.
    assert (changes.expected_loss.baseline, changes.expected_loss.federated) == pytest.approx((90_000, 50_000))


def test_points_are_means_over_seeds_on_the_institutions_rows(panel: Panel) -> None:
    (found,) = gains(panel, institutions=["Bank E"], federated={"epsilon": None}, draws=FEW)
    inside = panel.institution == "Bank E"
    scores = panel.own(found.federated, "Bank E")
    assert scores is not None
    for name, figure in (("auc", auc), ("ks", ks)):
        expected = np.mean([figure(panel.y[inside], p) for p in scores.p[:, inside]])
        change = getattr(found.against[0].changes, name)
        assert change.federated == pytest.approx(expected)
        assert change.low < change.difference < change.high


def test_best_alone_and_the_incumbent_are_both_faced(panel: Panel) -> None:
    (found,) = gains(panel, institutions=["Bank E"], draws=FEW)
    assert [against.baseline for against in found.against] == ["best_alone", "incumbent"]
    assert {group.by for group in found.against[0].groups} == {"size", "sector"}
    assert set(found.against[0].calibration) == {"baseline", "federated"}


def test_the_gain_by_region_moves_no_other_figure_and_one_region_alone_is_no_group(predictions: pd.DataFrame) -> None:
    place = predictions["company"].str[-1].map(lambda digit: "north" if digit < "5" else "south")
    cut = predictions.assign(region=place.where(predictions["institution"] == "Bank E", "north"))
    before = gains(read_panel(predictions, "test"), institutions=["Bank E", "_under"], draws=FEW)
    after = gains(read_panel(cut, "test"), institutions=["Bank E", "_under"], draws=FEW)
    for one, other in zip(before, after, strict=True):
        kept = [replace(a, groups=tuple(g for g in a.groups if g.by != "region")) for a in other.against]
        assert one == replace(other, against=tuple(kept))
    found = [[(g.name, g.auc is None) for g in one.against[0].groups if g.by == "region"] for one in after]
    assert found == [[("north", False), ("south", False)], []]


def test_local_stands_in_where_best_alone_was_not_trained_and_without_noise(predictions: pd.DataFrame) -> None:
    kept = predictions[predictions["arm"].isin(["federated", "local"])]
    (found,) = gains(read_panel(kept, "test"), institutions=["Bank E"], draws=FEW)
    plain = kept.query("arm == 'local' and epsilon.isna() and split == 'test' and institution == 'Bank E'")
    own = plain[plain["model_institution"] == "Bank E"]
    expected = np.mean([auc(part["y"], part["p"]) for _, part in own.groupby("seed")])
    assert found.against[0].baseline == "local"
    assert found.against[0].changes.auc.baseline == pytest.approx(expected)


def test_an_answer_does_not_depend_on_who_else_asks(panel: Panel) -> None:
    together = {one.institution: one for one in gains(panel, draws=FEW)}
    (alone,) = gains(panel, institutions=["杭州银行"], draws=FEW)
    assert together["杭州银行"] == alone


def test_the_variant_is_chosen_by_epsilon_and_never_by_result(panel: Panel) -> None:
    assert chosen_variant(panel, {}).epsilon == 3.0
    assert chosen_variant(panel, {"epsilon": None}).epsilon is None
    with pytest.raises(RunError, match="fedprox"):
        chosen_variant(panel, {"method": "fedprox"})


def test_too_few_defaults_prove_nothing() -> None:
    y = np.repeat([0, 1], [80, 9])
    (found,) = gains(two_arms(np.linspace(0, 1, 89), np.full(89, 0.5), y), draws=FEW)
    assert (found.verdict, found.against) == ("not proven", ())
    assert "fewer than 10" in found.reason


def test_groups_with_too_few_of_a_class_have_no_figure() -> None:
    y = np.tile([1, 0, 0, 0], 20)
    p = np.random.default_rng(0).random(80)
    groups = gains(two_arms(p, p, y, size=np.repeat(["large", "micro"], [72, 8])), draws=FEW)[0].against[0].groups
    assert [(group.name, group.n, group.auc is None) for group in groups] == [("large", 72, False), ("micro", 8, True)]


def test_money_is_the_tables_own_when_no_average_loan_is_stated() -> None:
    y = np.repeat([0, 1], [80, 20])
    panel = two_arms(np.linspace(0.1, 0.9, 100), np.full(100, 0.2), y, amount=np.full(100, 2_000.0))
    terms = Terms(approval_rate=0.9, lgd=0.5)
    assert gains(panel, terms=terms, draws=FEW)[0].against[0].changes.expected_loss.baseline == pytest.approx(180_000)


@pytest.mark.parametrize(
    ("terms", "has_amounts", "unit", "words"),
    [
        (Terms(average_loan=5_000.0, currency="USD"), True, "USD", "an average loan is 5,000 USD"),
        (Terms(average_loan=5_000.0), False, "the loan's currency", "an average loan is 5,000."),
        (Terms(currency="USD"), True, "USD", "each loan counts with its own amount in the table"),
        (Terms(), True, "the table's currency", "each loan counts with its own amount in the table"),
        (Terms(currency="USD"), False, "loans", "every loan counts as 1"),
    ],
    ids=["stated", "no currency", "the table's", "the table's, no currency", "none"],
)
def test_the_unit_of_money_is_said_in_words(terms: Terms, has_amounts: bool, unit: str, words: str) -> None:
    y, p = np.repeat([0, 1], [80, 20]), np.linspace(0.1, 0.9, 100)
    amounts = {"amount": np.full(100, 2_000.0)} if has_amounts else {}
    (found,) = gains(two_arms(p, p, y, **amounts), terms=terms, draws=10)
    assert found.money == unit
    assert words in lending(found.as_dict())
    assert f"Expected loss is in {unit} for each 1,000 applicants." in lending(found.as_dict())


def test_an_answer_carries_its_hashes_and_is_plain_json(panel: Panel) -> None:
    (found,) = gains(panel, institutions=["Bank E"], draws=FEW, config_sha256="c", predictions_sha256="p")
    line = json.loads(json.dumps(found.as_dict()))
    assert (line["config_sha256"], line["predictions_sha256"], line["draws"], line["seed"]) == ("c", "p", FEW, 0)
    assert line["federated"]["epsilon"] == 3.0
    assert line["rule"].startswith("join:")


@pytest.mark.parametrize("slip", [{"approval_rate": 0.0}, {"lgd": 1.5}, {"average_loan": -1.0}])
def test_terms_that_make_no_sense_are_refused(slip: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(slip))):
        Terms(**slip)
