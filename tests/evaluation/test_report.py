"""report.json, the files beside it, and the object in a notebook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fedcredit.errors import RunError
from fedcredit.evaluation import page
from fedcredit.evaluation.report import Prevalence, Report, Terms, gains, read_panel

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
