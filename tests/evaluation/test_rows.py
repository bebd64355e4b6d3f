"""The rows of a report, keyed as agreed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from fedcredit.evaluation.calibration import Prevalence, prior_shift
from fedcredit.evaluation.rows import FIELDS, Spent, rows

CONTRACT = {
    "arm",
    "left_out",
    "model",
    "method",
    "institution",
    "scored_on",
    "split",
    "epsilon",
    "noise",
    "epsilon_spent",
    "delta",
    "n",
    "positives",
    "auc",
    "auc_low",
    "auc_high",
    "auc_seed_sd",
    "seeds_n",
    "auc_stratified",
    "gini",
    "ks",
    "ap",
    "brier",
    "ece",
    "slope",
    "intercept",
    "lift_10",
}


@pytest.fixture(scope="module")
def found(predictions: pd.DataFrame) -> list[dict[str, Any]]:
    spent = [
        Spent("federated", 3.0, 2.5, 1e-5, institution="Bank E"),
        Spent("federated", 3.0, 2.9, 1e-6, institution="_under"),
        Spent("local", 3.0, 2.7, 1e-5, institution="_under"),
    ]
    return rows(predictions, spent=spent)


def one(found: list[dict[str, Any]], **key: object) -> dict[str, Any]:
    (row,) = [row for row in found if all(row[name] == value for name, value in key.items())]
    return row


def test_every_row_has_the_keys_of_the_contract(found: list[dict[str, Any]]) -> None:
    assert all(set(row) == CONTRACT == set(FIELDS) for row in found)


def test_models_of_everybody_are_scored_on_the_whole_split_and_on_each_slice(found: list[dict[str, Any]]) -> None:
    places = [(r["institution"], r["scored_on"]) for r in found if (r["arm"], r["epsilon"]) == ("federated", 3.0)]
    assert places[0] == ("all", "all")
    assert len(places) == 6
    assert {scored_on for _, scored_on in places[1:]} == {"own"}


def test_models_of_one_institution_are_scored_on_the_whole_split_and_at_home(found: list[dict[str, Any]]) -> None:
    for arm in ("local", "best_alone", "incumbent"):
        places = [r["scored_on"] for r in found if (r["arm"], r["institution"], r["epsilon"]) == (arm, "Bank E", None)]
        assert places == ["all", "own"]


def test_figures_are_means_over_seeds_on_the_rows_of_the_place(
    found: list[dict[str, Any]], predictions: pd.DataFrame
) -> None:
    row = one(found, arm="local", institution="Bank E", scored_on="own", epsilon=3.0)
    frame = predictions.query("arm == 'local' and split == 'test' and epsilon == 3 and institution == 'Bank E'")
    frame = frame[frame["model_institution"] == "Bank E"]
    aucs = [roc_auc_score(part["y"], part["p"]) for _, part in frame.groupby("seed")]
    assert row["auc"] == pytest.approx(np.mean(aucs))
    assert row["auc_seed_sd"] == pytest.approx(np.std(aucs, ddof=1))
    assert row["auc_low"] < row["auc"] < row["auc_high"]
    assert (row["n"], row["seeds_n"]) == (len(frame) / 3, 3)


def test_epsilon_spent_is_the_largest_over_institutions(found: list[dict[str, Any]]) -> None:
    everybody = one(found, arm="federated", institution="all", epsilon=3.0)
    assert (everybody["epsilon_spent"], everybody["delta"]) == (2.9, 1e-5)
    assert one(found, arm="federated", institution="all", epsilon=None)["epsilon_spent"] is None


def test_a_local_model_shows_its_own_spend(found: list[dict[str, Any]]) -> None:
    spent = {
        name: one(found, arm="local", institution=name, scored_on="all", epsilon=3.0)["epsilon_spent"]
        for name in ("_under", "Bank E")
    }
    assert spent == {"_under": 2.7, "Bank E": None}


def test_a_spend_covers_a_chosen_model_whatever_its_name(predictions: pd.DataFrame) -> None:
    best = predictions.query("arm == 'best_alone'").assign(epsilon=3.0, noise="local", model="boosted trees 100 x 4")
    spent = Spent("best_alone", 3.0, 2.5, 1e-5, institution="Bank E", model="boosted trees 100 x 4")
    paid = {row["institution"] for row in rows(best, spent=[spent]) if row["epsilon_spent"] == 2.5}
    assert paid == {"Bank E"}


def test_an_institutions_row_keeps_the_name_of_its_own_best_model(predictions: pd.DataFrame) -> None:
    best = predictions.query("arm == 'best_alone' and seed == 0")
    found = {row["institution"]: row["model"] for row in rows(best)}
    assert (found["杭州银行"], found["A<b>&co"]) == ("logistic", "lightgbm")


def test_one_seed_has_no_seed_deviation(found: list[dict[str, Any]]) -> None:
    assert one(found, arm="incumbent", institution="Bank E", scored_on="own")["auc_seed_sd"] is None


def test_a_slice_with_too_few_defaults_has_no_auc(predictions: pd.DataFrame) -> None:
    few = predictions[predictions["arm"] == "federated"]
    bank = few["institution"] == "Bank E"
    positions = few[bank & (few["y"] == 1)].groupby(["seed", "split", "epsilon"], dropna=False).cumcount()
    found = rows(few.drop(positions[positions >= 9].index))
    small = one(found, institution="Bank E", epsilon=3.0)
    assert small["positives"] == 9
    assert [small[name] for name in ("auc", "auc_low", "gini", "ks", "slope")] == [None] * 5
    assert small["brier"] is not None
    assert one(found, institution="all", epsilon=3.0)["auc"] is not None


def test_calibration_is_judged_after_a_shift_to_the_validation_rate(predictions: pd.DataFrame) -> None:
    chosen = predictions.query("arm == 'federated' and epsilon.isna() and seed == 0")
    (row,) = [r for r in rows(chosen, prevalence=Prevalence(train={"all": 0.4})) if r["scored_on"] == "all"]
    validation, test = (chosen[chosen["split"] == split] for split in ("validation", "test"))
    shifted = prior_shift(test["p"], from_rate=0.4, to_rate=validation["y"].mean())
    assert row["brier"] == pytest.approx(brier_score_loss(test["y"], shifted))
    assert row["auc"] == pytest.approx(roc_auc_score(test["y"], test["p"]))


def test_the_scored_splits_labels_never_enter_the_shift(predictions: pd.DataFrame) -> None:
    only_test = predictions.query("arm == 'federated' and epsilon.isna() and seed == 0 and split == 'test'")
    row = rows(only_test, prevalence=Prevalence(train={"all": 0.4}))[0]
    assert row["brier"] == pytest.approx(brier_score_loss(only_test["y"], only_test["p"]))


def test_scores_that_are_no_probabilities_have_no_calibration(predictions: pd.DataFrame) -> None:
    incumbent = predictions[predictions["arm"] == "incumbent"].assign(p=lambda frame: 600 * frame["p"])
    row = rows(incumbent)[0]
    assert [row[name] for name in ("brier", "ece", "slope", "intercept")] == [None] * 4
    assert row["auc"] is not None


def test_a_model_that_left_an_institution_out_is_a_row_of_its_own(predictions: pd.DataFrame) -> None:
    chosen = predictions.query("arm == 'federated' and epsilon.isna() and institution == 'Bank E'")
    found = rows(pd.concat([predictions.query("arm == 'pooled'"), chosen.assign(left_out="Bank E")]))
    row = one(found, arm="federated")
    assert (row["left_out"], row["institution"], row["scored_on"]) == ("Bank E", "Bank E", "own")
