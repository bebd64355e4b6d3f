"""Predictions side by side on identical rows, or a refusal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fedcredit.errors import RunError
from fedcredit.evaluation.panel import read_panel

KEYS = {"arm": "federated", "method": "fedavg", "model": "lstm", "model_institution": None, "left_out": None}
ROWS = {
    "company": ["a", "b", "b", "c", "d"],
    "institution": ["X", "X", "X", "Y", "Y"],
    "y": [0, 1, 0, 1, 0],
    "p": [0.1, 0.6, 0.2, 0.7, 0.3],
}


def predictions(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({**KEYS, "epsilon": np.nan, "noise": "none", "seed": 0, "split": "test", **ROWS, **columns})


def test_models_stand_side_by_side_whatever_their_order_of_rows() -> None:
    other = predictions(arm="pooled", p=[0.2, 0.5, 0.3, 0.8, 0.4]).iloc[[3, 4, 0, 1, 2]]
    panel = read_panel(pd.concat([predictions(), other]), "test")
    assert panel.y.tolist() == [0, 1, 0, 1, 0]
    assert [scores.p.tolist() for scores in panel.models] == [[ROWS["p"]], [[0.2, 0.5, 0.3, 0.8, 0.4]]]


def test_seeds_of_one_variant_become_one_entry() -> None:
    panel = read_panel(pd.concat([predictions(seed=seed) for seed in (2, 0, 1)]), "test")
    assert [(scores.seeds, scores.p.shape) for scores in panel.models] == [((0, 1, 2), (3, 5))]


def test_epsilons_and_left_out_institutions_are_variants() -> None:
    frames = [predictions(), predictions(epsilon=3.0, noise="local"), predictions(left_out="X")]
    variants = read_panel(pd.concat(frames), "test").variants
    assert [(variant.epsilon, variant.noise, variant.left_out) for variant in variants] == [
        (None, "none", None),
        (3.0, "local", None),
        (None, "none", "X"),
    ]


def test_personal_heads_become_one_model_of_everybody() -> None:
    heads = [
        predictions(method="local_head", model_institution="X", p=[0.1, 0.2, 0.3, 0.9, 0.9]),
        predictions(method="local_head", model_institution="Y", p=[0.9, 0.9, 0.9, 0.4, 0.5]),
    ]
    at_home = [head[head["institution"] == head["model_institution"]] for head in heads]
    for frames in (heads, at_home):
        (scores,) = read_panel(pd.concat([predictions(arm="pooled"), *frames]), "test").models[1:]
        assert scores.institution is None
        assert scores.is_personal
        assert scores.p.tolist() == [[0.1, 0.2, 0.3, 0.4, 0.5]]


def test_the_kind_of_a_chosen_model_may_differ() -> None:
    frames = [
        predictions(arm="best_alone", model_institution="X", model=kind, seed=seed)
        for seed, kind in enumerate(["logistic", "lightgbm"])
    ]
    (scores,) = read_panel(pd.concat(frames), "test").models
    assert scores.label == "lightgbm/logistic"
    assert scores.seeds == (0, 1)


def test_models_chosen_by_their_results_are_one_variant_whatever_their_names() -> None:
    best = [
        predictions(arm="best_alone", model_institution="X", model="boosted trees 100 x 4"),
        predictions(arm="best_alone", model_institution="Y", model="logistic C=0.3"),
    ]
    names = ("", "incumbent", None)
    known = [predictions(arm="incumbent", model_institution=f"{n}", model=name) for n, name in enumerate(names)]
    panel = read_panel(pd.concat([predictions(), *best, *known]), "test")
    assert [variant.arm for variant in panel.variants] == ["federated", "best_alone", "incumbent"]
    assert [scores.label for scores in panel.of(panel.variants[1])] == ["boosted trees 100 x 4", "logistic C=0.3"]
    assert [scores.label for scores in panel.of(panel.variants[2])] == ["", "incumbent", ""]


def test_an_incumbent_needs_no_seed() -> None:
    (scores,) = read_panel(predictions(arm="incumbent", model_institution="X", seed=None), "test").models
    assert scores.seeds == (0,)


def test_splits_can_be_joined() -> None:
    both = pd.concat([predictions(), predictions(split="validation", company=list("vwxyz"))])
    assert len(read_panel(both, "validation+test").y) == 10
    assert len(read_panel(both, "test").y) == 5


def test_a_local_model_may_score_its_own_slice_only() -> None:
    local = predictions(arm="local", model_institution="X")
    panel = read_panel(pd.concat([predictions(), local[local["institution"] == "X"]]), "test")
    variant = panel.variants[1]
    assert panel.own(variant, "X") is panel.models[1]
    assert panel.own(variant, "Y") is None


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (predictions().drop(columns="noise"), "no column noise"),
        (predictions(split="train"), "no rows"),
        (predictions(company=["a", None, "b", "c", "d"]), "empty arm, company or institution"),
        (predictions(y=[0, 1, 0, 2, 0]), "outcome other than 0 and 1"),
        (predictions(p=[0.1, np.nan, 0.2, 0.7, 0.3]), "no number"),
        (pd.concat([predictions(), predictions(seed=1).iloc[1:]]), "some rows of 'X'"),
        (pd.concat([predictions(), predictions().iloc[:1], predictions(seed=1)]), "some rows of 'X'"),
        (pd.concat([predictions(), predictions(seed=1, y=[1, 1, 0, 1, 0])]), "disagree on an outcome"),
        (
            pd.concat([predictions(arm="local", model_institution=k, seed=s) for k, s in (("X", 0), ("Y", 1))]),
            "the same seeds",
        ),
    ],
    ids=["column", "empty", "nameless", "outcome", "nan", "missing row", "row twice", "other outcome", "other seeds"],
)
def test_rows_that_are_not_identical_are_refused(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(RunError, match=message):
        read_panel(frame, "test")
