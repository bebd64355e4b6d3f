"""Differences between arms on identical rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from fedcredit.evaluation.comparisons import FIELDS, comparisons
from fedcredit.evaluation.delong import paired_difference

FEW = 300


@pytest.fixture(scope="module")
def found(predictions: pd.DataFrame) -> list[dict[str, Any]]:
    return comparisons(predictions, draws=FEW)


def pick(found: list[dict[str, Any]], **key: object) -> dict[str, Any]:
    (entry,) = [entry for entry in found if all(entry[name] == value for name, value in key.items())]
    return entry


def mean_auc(predictions: pd.DataFrame, arm: str, *, own: bool) -> float:
    frame = predictions[(predictions["arm"] == arm) & (predictions["split"] == "test") & predictions["epsilon"].isna()]
    if own:
        at_home = frame["model_institution"].isna() | (frame["model_institution"] == frame["institution"])
        frame = frame[at_home].assign(model_institution=frame["institution"])
    groups = frame.groupby(["seed", "model_institution"], dropna=False)
    return float(np.mean([roc_auc_score(group["y"], group["p"]) for _, group in groups]))


@pytest.mark.parametrize(("institution", "own"), [("all", False), ("mean", True)])
def test_points_are_differences_of_mean_auc(
    found: list[dict[str, Any]], predictions: pd.DataFrame, institution: str, own: bool
) -> None:
    entry = pick(found, name="federated - mean local", institution=institution, epsilon=None)
    expected = mean_auc(predictions, "federated", own=own) - mean_auc(predictions, "local", own=own)
    assert entry["point"] == pytest.approx(expected)
    assert entry["low"] < entry["point"] < entry["high"]


def test_federation_of_better_scores_is_found_better_and_pooling_no_worse(found: list[dict[str, Any]]) -> None:
    assert pick(found, name="federated - mean local", institution="all", epsilon=None)["low"] > 0
    assert pick(found, name="pooled - federated", institution="all", epsilon=None)["high"] > 0


def test_headline_follows_how_the_study_is_judged(found: list[dict[str, Any]], predictions: pd.DataFrame) -> None:
    assert {entry["institution"] for entry in found if entry["headline"]} == {"all"}
    own = comparisons(predictions, judge="own", draws=10)
    assert {entry["institution"] for entry in own if entry["headline"]} == {"mean"}


def test_a_private_model_is_set_beside_private_and_plain_local_models(found: list[dict[str, Any]]) -> None:
    names = {"name": "federated - mean local", "institution": "all", "epsilon": 3.0}
    assert pick(found, **names, other_epsilon=3.0)["point"] > pick(found, **names, other_epsilon=None)["point"]
    assert pick(found, name="private - not private", institution="all")["point"] < 0


def test_each_institution_has_its_own_difference(found: list[dict[str, Any]], predictions: pd.DataFrame) -> None:
    entry = pick(found, name="federated - local", institution="杭州银行", scored_on="own", epsilon=None)
    test = predictions.query("split == 'test' and institution == '杭州银行' and epsilon.isna()")
    federated = test[test["arm"] == "federated"]
    local = test[(test["arm"] == "local") & (test["model_institution"] == "杭州银行")]
    first, second = (
        np.mean([roc_auc_score(part["y"], part["p"]) for _, part in frame.groupby("seed")])
        for frame in (federated, local)
    )
    assert entry["point"] == pytest.approx(first - second)
    assert entry["n"] == len(federated) / 3


def test_arms_that_score_alike_differ_by_exactly_nothing(predictions: pd.DataFrame) -> None:
    federated = predictions[predictions["arm"] == "federated"]
    for entry in comparisons(pd.concat([federated, federated.assign(arm="pooled")]), draws=50):
        if entry["name"] == "pooled - federated" and entry["epsilon"] == entry["other_epsilon"]:
            assert (entry["point"], entry["low"], entry["high"]) == (0, 0, 0)


def test_the_same_seed_gives_the_same_intervals(predictions: pd.DataFrame, found: list[dict[str, Any]]) -> None:
    assert comparisons(predictions, draws=FEW) == found


def test_personal_models_are_compared_like_the_others(predictions: pd.DataFrame) -> None:
    plain = predictions[predictions["epsilon"].isna()]
    federated = plain[plain["arm"] == "federated"]
    personal = federated.assign(method="local_head", model_institution=federated["institution"])
    found = comparisons(pd.concat([plain, personal]), draws=20)
    names = {"name": "federated - mean local", "institution": "mean"}
    assert pick(found, **names, method="local_head")["point"] == pick(found, **names, method="fedavg")["point"]


def test_models_that_left_an_institution_out_are_judged_where_they_never_looked(predictions: pd.DataFrame) -> None:
    plain = predictions[predictions["epsilon"].isna()]
    federated = plain[plain["arm"] == "federated"]
    left_out = [federated[federated["institution"] == name].assign(left_out=name) for name in ("杭州银行", "Bank E")]
    found = comparisons(pd.concat([plain, *left_out]), draws=FEW)
    level = pick(found, name="federated, left out")
    assert (level["left_out"], level["institution"], level["institutions_n"]) == ("each", "mean", 2)
    aucs = [
        roc_auc_score(part["y"], part["p"])
        for frame in left_out
        for _, part in frame[frame["split"] == "test"].groupby("seed")
    ]
    assert level["point"] == pytest.approx(np.mean(aucs))
    assert pick(found, name="federated, left out - mean local")["point"] > 0


def test_institutions_with_too_few_defaults_are_left_out_of_means(predictions: pd.DataFrame) -> None:
    small = predictions["institution"] == "Bank E"
    found = comparisons(predictions[~small | (predictions["y"] == 0)], draws=20)
    assert pick(found, name="federated", institution="mean", epsilon=None)["institutions_n"] == 4
    assert not [entry for entry in found if entry["institution"] == "Bank E" and entry["scored_on"] == "own"]


def test_a_study_of_own_slices_only_has_no_figures_on_the_whole_split(predictions: pd.DataFrame) -> None:
    local = predictions[predictions["arm"] == "local"]
    home = local[local["institution"] == local["model_institution"]]
    found = comparisons(pd.concat([predictions[predictions["arm"] == "federated"], home]), judge="own", draws=20)
    assert {e["institution"] for e in found if e["name"] == "federated - mean local"} == {"mean"}


def test_every_comparison_has_the_same_fields(found: list[dict[str, Any]]) -> None:
    assert all(tuple(entry) == FIELDS for entry in found)


def test_two_single_models_have_delongs_paired_interval_of_their_mean_scores(
    found: list[dict[str, Any]], predictions: pd.DataFrame
) -> None:
    test = predictions.query("split == 'test' and epsilon.isna()")
    pooled, federated = (
        test[test["arm"] == arm].pivot_table(index=["company", "y"], columns="seed", values="p").mean(axis=1)
        for arm in ("pooled", "federated")
    )
    expected = paired_difference(pooled.index.get_level_values("y"), pooled, federated)
    entry = pick(found, name="pooled - federated", institution="all", epsilon=None, other_epsilon=None)
    assert (entry["delong_low"], entry["delong_high"]) == pytest.approx(expected[1:])


@pytest.mark.parametrize("scored_on", ["all", "own"])
@pytest.mark.parametrize("arm", ["local", "best_alone", "incumbent"])
def test_delong_and_the_bootstrap_agree_on_one_seed(predictions: pd.DataFrame, arm: str, scored_on: str) -> None:
    one = predictions[(predictions["seed"] == 0) & predictions["epsilon"].isna()]
    place = {"institution": "Bank E", "scored_on": scored_on}
    entry = pick(comparisons(one, draws=FEW), name=f"federated - {arm}", **place)
    width = entry["high"] - entry["low"]
    assert entry["delong_high"] - entry["delong_low"] == pytest.approx(width, rel=0.25)
    assert (entry["delong_low"] + entry["delong_high"]) / 2 == pytest.approx(entry["point"])


def test_means_levels_and_personal_heads_have_no_delong_interval(predictions: pd.DataFrame) -> None:
    plain = predictions[predictions["epsilon"].isna()]
    federated = plain[plain["arm"] == "federated"]
    personal = federated.assign(method="local_head", model_institution=federated["institution"])
    for entry in comparisons(pd.concat([plain, personal]), draws=20):
        is_one_model = (
            entry["name"] in ("pooled - federated", "federated - local", "federated - best_alone")
            or entry["name"] == "federated - incumbent"
        )
        told = is_one_model and entry["institution"] != "mean" and entry["method"] != "local_head"
        assert (entry["delong_low"] is not None) is told


def test_a_best_model_goes_by_its_own_name_at_its_institution(predictions: pd.DataFrame) -> None:
    one = predictions[(predictions["seed"] == 0) & predictions["epsilon"].isna()]
    found = comparisons(one, draws=20)
    names = {"name": "federated - best_alone", "scored_on": "own"}
    assert pick(found, **names, institution="杭州银行")["other_model"] == "logistic"
    mean = pick(found, name="federated - mean best_alone", institution="all")
    assert mean["other_model"] == "lightgbm/logistic"


@pytest.mark.slow
def test_a_study_of_three_thousand_companies_is_compared_in_ten_seconds(make: Callable[..., pd.DataFrame]) -> None:
    predictions = make(2920, rate=0.01)  # about as many defaults as american_bankruptcy's test split
    start = time.process_time()
    comparisons(predictions)
    assert time.process_time() - start < 10


def test_noise_of_each_and_noise_in_the_sum_are_set_side_by_side(predictions: pd.DataFrame) -> None:
    federated = predictions[predictions["arm"] == "federated"]
    private = federated[federated["epsilon"].notna()]
    less = private.assign(noise="distributed", p=0.7 * private["p"] + 0.3 * private["y"])
    other = private.assign(model="mlp")  # another model's noise is no match
    found = comparisons(pd.concat([federated, less, other]), draws=FEW)
    side = pick(found, name="distributed - local noise", institution="all")
    levels = {
        noise: pick(found, name="federated", institution="all", model="lstm", noise=noise, epsilon=3.0)["point"]
        for noise in ("local", "distributed")
    }
    assert side["point"] == pytest.approx(levels["distributed"] - levels["local"])
    assert side["low"] > 0
    # What privacy costs is told for both, of the same kind of model: the plain mlp did not run.
    costs = [one for one in found if one["name"] == "private - not private" and one["institution"] == "all"]
    assert {(one["model"], one["noise"]) for one in costs} == {("lstm", "local"), ("lstm", "distributed")}
