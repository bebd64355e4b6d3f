"""A real study of two rounds is trained, registered and validated; its report is compared with the store's copy."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from experiments.rows import table_of
from experiments.study import load, run
from fedcredit.errors import RunError
from server.cli import model
from tests.server.validation.conftest import rewrite

TINY = (
    "seeds=[0]",
    "arms=[local,federated]",
    "model.kind=logistic",
    "recipe.rounds=2",
    "data.economy.companies=1200",
    "data.economy.institutions=2",
    "workers=1",
    "evaluation.draws=100",
)


@pytest.mark.slow
def test_study_is_trained_registered_and_validated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    runs = tmp_path / "runs"
    settings = load("quickstart", [*TINY, f"runs={runs}"])
    folder = run(settings).folder
    assert folder is not None
    table_of(settings.data).frame.to_parquet(tmp_path / "table.parquet", index=False)
    words = ["validate", "fedcredit-quickstart", "--runs", str(runs), "--json"]
    words += ["--table", str(tmp_path / "table.parquet")]
    result = CliRunner().invoke(model, words)
    assert result.exit_code == 0, result.exception
    answer = json.loads(result.stdout)
    evidence, page = answer["evidence"], Path(answer["files"]["html"]).read_text(encoding="utf-8")
    assert evidence["model"]["version"] == 1
    row = next(
        row
        for row in json.loads((folder / "report.json").read_text())["rows"]
        if (row["arm"], row["institution"], row["split"]) == ("federated", "all", "test")
    )
    assert evidence["figures"]["auc"]["value"] == pytest.approx(row["auc"], abs=1e-12)
    assert evidence["data"]["rows"] == row["n"]
    assert "100.0 % of the judged companies of the run are in the table" in page  # the splits are those of the study
    assert "Characteristic stability index of each indicator" in page
    assert "equal bytes" in page  # the store's copy of report.json
    assert "its digest is config_sha256" in page
    assert "could not be checked" not in page
    companies = pd.read_parquet(folder / "predictions.parquet")["company"].unique()
    everything = page + Path(answer["files"]["md"]).read_text(encoding="utf-8") + result.stdout
    assert not [company for company in companies if str(company) in everything]
    rewrite(folder / "report.json", lambda report: report.update(privacy=["Nothing was spent."]))
    fault = CliRunner().invoke(model, words).exception
    assert isinstance(fault, RunError)
    assert fault.found == "another file than was registered"


@pytest.mark.slow
def test_study_on_the_economy_is_validated_by_its_regions(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    words = [*TINY, "data.economy.companies=4000", "data.economy.regions=3", "tracking.mlflow=false", f"runs={runs}"]
    folder = run(load("quickstart", words)).folder
    assert folder is not None
    result = CliRunner().invoke(model, ["validate", str(folder / "model"), "--runs", str(runs), "--json"])
    assert result.exit_code == 0, result.exception
    text = Path(json.loads(result.stdout)["files"]["md"]).read_text(encoding="utf-8")
    test = pd.read_parquet(folder / "predictions.parquet").query("split == 'test' and arm == 'federated'")
    companies = test.groupby("region")["company"].nunique()
    assert list(companies.index) == ["region-01", "region-02", "region-03"]
    for name, count in companies.items():
        assert f"| {name} | {count} | {count} |" in text, "rows and companies, by region"
    for figure in ("AUC", "approval rate", "bad rate", "observed / expected"):
        assert f"| region | {figure} | region-0" in text
    groups = json.loads((folder / "report.json").read_text())["gain"][0]["against"][0]["groups"]
    assert {group["name"] for group in groups if group["by"] == "region"} == set(companies.index)
