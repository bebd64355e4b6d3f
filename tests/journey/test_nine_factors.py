"""A study of both models ends in their paired difference, in a bundle whose contributions add up, or in a refusal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiments.nine_factors.compare import compare, main
from experiments.rows import rows_of, table_of
from experiments.study import load, run
from fedcredit.errors import ConfigError, RunError
from fedcredit.federation.messages import MAX_FACTORS, Task
from fedcredit.models import bundle as bundles
from fedcredit.models.build import ModelSettings
from fedcredit.models.factors import Factor
from fedcredit.models.nine_factor import NineFactor

SHORT = [
    *("data.economy.companies=1500", "data.economy.institutions=3", "data.economy.months=6", "data.length=6"),
    *("seeds=[0,1]", "workers=1", "tracking.mlflow=false", "evaluation.draws=50", "recipe.rounds=2"),
    *("recipes.nine_factor_private.rounds=2", "recipes.lstm_private.rounds=2"),
]
TASK = Task(
    run="r",
    model=ModelSettings("nine_factor", factors=(Factor("debt", down=("debt",)),)),
    features=("debt",),
    time=2,
    seed=0,
)


@pytest.mark.slow
def test_a_study_of_both_models_ends_in_their_difference_and_in_a_bundle_that_explains_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load("nine_factors", [*SHORT, f"runs={tmp_path}"])
    run(settings)
    folder = tmp_path / "nine_factors" / "latest"
    main([str(folder), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [row["epsilon"] for row in found["differences"]] == [None, 3.0]
    for row in found["differences"]:
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["difference"] == pytest.approx(row["auc"]["nine_factor"] - row["auc"]["lstm"])
        assert row["difference"] == pytest.approx(sum(row["by_seed"]) / 2)
        assert row["violations"]["nine_factor"] == {"last": 0.0, "window": 0.0}
        assert row["violations"]["lstm"]["last"] > 0.05
    assert len(found["speaks"]) == 9

    kept = bundles.read(folder / "model")
    model = kept.model()
    assert isinstance(model, NineFactor)
    assert kept.epsilon is not None
    table = table_of(settings.data)
    x = torch.from_numpy(rows_of(settings, table).x)
    with torch.no_grad():
        assert (model.base + model.contributions(x).sum(dim=1) - model(x)).abs().max() < 1e-5
    assert bundles.score(kept, table)["pd"].between(0, 1).all()


@pytest.mark.slow
def test_a_factor_model_with_heads_at_home_trains(tmp_path: Path) -> None:
    more = ["recipe.share=body", "privacy.epsilons=[null]", "seeds=[0]", f"runs={tmp_path}"]
    report = run(load("nine_factors", [*SHORT, *more]))
    assert "local_head" in {row["method"] for row in report.data["rows"]}


def test_factors_cross_the_wire_and_come_back_equal() -> None:
    assert Task.from_json(TASK.to_json()) == TASK
    assert '"down":["debt"]' in TASK.to_json()


@pytest.mark.parametrize(
    ("factors", "found"),
    [
        ('[{"name":"debt"}]', "no up, down, free"),
        ('[{"name":"debt","up":[],"down":["debt"],"free":[],"code":"x"}]', "unknown key 'code'"),
        ('[{"name":"debt","up":[],"down":[7],"free":[]}]', "int '7'"),
        ('[{"name":"debt","up":["debt"],"down":["debt"],"free":[]}]', "twice"),
        ('"debt"', "expected a list"),
    ],
)
def test_hostile_factors_of_a_task_are_refused(factors: str, found: str) -> None:
    text = TASK.to_json()
    own = '[{"down":["debt"],"free":[],"name":"debt","up":[]}]'
    assert own in text
    with pytest.raises(ConfigError, match=found):
        Task.from_json(text.replace(own, factors))


def test_more_factors_or_inputs_than_a_model_can_mean_are_refused() -> None:
    many = tuple(Factor(f"f{k}", up=(f"x{k}",)) for k in range(MAX_FACTORS + 1))
    wide = (Factor("wide", up=tuple(f"x{k}" for k in range(1025))),)
    for factors, where in ((many, "task.factors"), (wide, "task.inputs")):
        with pytest.raises(ConfigError) as error:
            replace(TASK, model=ModelSettings("nine_factor", factors=factors))
        assert error.value.where == where


def test_a_folder_that_is_no_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        compare(tmp_path)
