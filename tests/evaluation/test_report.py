"""report.json, the files beside it, and the object in a notebook."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fedcredit.errors import RunError
from fedcredit.evaluation import page
from fedcredit.evaluation.markdown import markdown
from fedcredit.evaluation.report import Prevalence, Report, Terms, build, gains, read_panel

CONTRACT = {"schema", "study", "dataset", "config_sha256", "git_sha", "machine", "seeds", "rows", "timing"}


def test_a_report_has_the_keys_of_the_contract_and_only_what_json_has(report: dict[str, Any]) -> None:
    assert set(report) >= CONTRACT
    assert report["schema"] == 1
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_targets_are_measured_on_the_comparisons(report: dict[str, Any]) -> None:
    (target,) = report["targets"]
    lows = [c["low"] for c in report["comparisons"] if (c["name"], c["epsilon"]) == ("federated - mean local", 3.0)]
    assert target["measured"] == min(lows)


def test_a_gain_can_be_computed_again_from_the_report_and_its_predictions(
    report: dict[str, Any], predictions: pd.DataFrame
) -> None:
    told = report["gain"][0]
    (again,) = gains(
        read_panel(predictions, told["split"]),
        federated=told["federated"],
        institutions=[told["institution"]],
        terms=Terms(**told["terms"]),
        prevalence=Prevalence(**report["prevalence"]),
        draws=told["draws"],
        seed=told["seed"],
        config_sha256=told["config_sha256"],
        predictions_sha256=told["predictions_sha256"],
    )
    assert json.loads(json.dumps(again.as_dict())) == told


def test_a_written_report_is_read_back(report: dict[str, Any], predictions: pd.DataFrame, tmp_path: Path) -> None:
    Report(report).write(tmp_path)
    predictions.to_parquet(tmp_path / "predictions.parquet")
    found = Report.read(tmp_path)
    assert found.data == report
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "predictions.parquet",
        "report.html",
        "report.json",
        "report.md",
    ]
    assert len(found.rows) == len(report["rows"])
    assert found.headline["headline"].all()
    assert found.comparisons["point"].notna().all()
    assert found.targets.columns.tolist() == ["name", "asked", "measured", "met"]
    assert len(found.gain) == 5
    assert len(found.predictions) == len(predictions)


@pytest.fixture
def build_from() -> Callable[..., dict[str, Any]]:
    def build_one(predictions: pd.DataFrame, **more: Any) -> dict[str, Any]:
        facts: dict[str, Any] = dict.fromkeys(("study", "dataset", "config_sha256", "git_sha"), "x")
        return build(predictions, **facts, machine={}, seeds=[0], timing={}, draws=50, **more)

    return build_one


@pytest.mark.parametrize("arms", [["local"], ["local", "pooled"]], ids=" and ".join)
def test_a_study_without_a_federated_arm_has_a_report_without_a_gain(
    predictions: pd.DataFrame, build_from: Callable[..., dict[str, Any]], arms: list[str]
) -> None:
    data = build_from(predictions[predictions["arm"].isin(arms)])
    assert data["gain"] == []
    assert "What do I gain" not in Report(data)._repr_html_() + markdown(data)
    assert set(Report(data).headline["name"]) == {"mean local", "pooled"} & {arms[-1], "mean local"}


def test_models_that_all_left_an_institution_out_are_nobodys_gain(
    predictions: pd.DataFrame, build_from: Callable[..., dict[str, Any]]
) -> None:
    federated = predictions[predictions["arm"] == "federated"]
    left_out = federated[federated["institution"] == "Bank E"].assign(left_out="Bank E")
    assert build_from(pd.concat([left_out, predictions[predictions["arm"] == "pooled"]]))["gain"] == []


def test_a_table_too_small_to_tell_anything_has_empty_frames_with_columns(
    predictions: pd.DataFrame, build_from: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    few = predictions.groupby(["arm", "model_institution", "seed", "epsilon", "split"], dropna=False).head(6)
    found = Report(build_from(few[few["arm"] == "federated"]))
    assert found.data["comparisons"] == []
    assert found.headline.empty
    assert {"name", "headline", "point", "delong_low"} <= set(found.headline.columns)
    assert {"arm", "auc"} <= set(Report({**found.data, "rows": []}).rows.columns)
    found.write(tmp_path)
    assert "nothing can be told" in (tmp_path / "report.html").read_text()


def test_a_report_says_which_table_was_used(
    predictions: pd.DataFrame, build_from: Callable[..., dict[str, Any]]
) -> None:
    data = build_from(predictions.query("arm == 'pooled'"), schema_sha256="5" * 64, data_sha256="6" * 64)
    assert (data["schema_sha256"], data["data_sha256"]) == ("5" * 64, "6" * 64)
    for text in (Report(data)._repr_html_(), markdown(data)):
        assert "5" * 64 in text
        assert "6" * 64 in text


def test_a_report_draws_itself_in_a_notebook(report: dict[str, Any]) -> None:
    drawn = Report(report)._repr_html_()
    assert drawn.startswith('<div class="fedcredit">')
    assert "<html" not in drawn
    assert "<svg" in drawn


def test_a_folder_without_a_report_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"status\.json"):
        Report.read(tmp_path)


@pytest.mark.parametrize("content", ['{"schema": 1, "rows"', '{"schema": 2}', "[]"], ids=["half", "newer", "list"])
def test_a_report_that_is_no_report_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(RunError, match=r"report\.json"):
        Report.read(tmp_path)


def test_predictions_that_were_not_kept_are_an_error(report: dict[str, Any]) -> None:
    with pytest.raises(RunError, match="parquet"):
        _ = Report(report).predictions


def test_a_failed_drawing_leaves_the_old_report_whole(
    report: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.json").write_text("old")

    def full_disk(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(page, "page", full_disk)
    with pytest.raises(OSError, match="space"):
        Report(report).write(tmp_path)
    assert (tmp_path / "report.json").read_text() == "old"
