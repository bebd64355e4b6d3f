"""From 18 raw tables to a federated nine-factor model, by the commands that an institution would type."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fedcredit.__main__ import main
from fedcredit.data.schema import read_schema
from fedcredit.data.sources import sources

ECONOMY = ["--raw", "--companies", "1500", "--months", "30", "--regions", "3", "--institutions", "4", "--seed", "5"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the economy `eco` and the hub `hub` made of it."""
    folder = tmp_path_factory.mktemp("journey")
    main(["data", "economy", str(folder / "eco"), *ECONOMY])
    main(["data", "build", str(folder / "eco" / "raw"), str(folder / "hub"), "--as-of", "2024-12-31"])
    return folder


def said(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    main([*words, "--json"])
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_a_clean_economy_has_no_faulty_row_in_any_of_its_eighteen_tables(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = said(capsys, "data", "check", str(made / "eco" / "raw"))
    assert [one["table"] for one in report["sources"]] == [one.table for one in sources()]
    assert all(one["rows"] > 0 and one["bad"] == 0 for one in report["sources"])
    assert any(one["corrections"] > 0 for one in report["sources"])


@pytest.mark.slow
def test_the_table_carries_what_it_was_made_of(made: Path) -> None:
    schema = read_schema(made / "hub" / "table.json")
    assert len(schema.features) == 28
    assert schema.dictionary_sha256
    assert {one.table for one in sources()} <= {key.removeprefix("source:") for key in schema.lineage}
    frame = pd.read_parquet(made / "hub" / "data.parquet")
    assert frame["institution"].nunique() == 3
    assert 0.02 < frame.groupby("company")[schema.label.column].last().mean() < 0.15


@pytest.mark.slow
def test_three_regions_train_a_nine_factor_model_together(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    study = [
        "study",
        "run",
        "quickstart",
        "study=hub",
        "data=table",
        f"data.table.path={made / 'hub' / 'data.parquet'}",
    ]
    tiny = ["arms=[federated,local]", "seeds=[0]", "recipe.rounds=3", "evaluation.draws=50", "workers=1"]
    main([*study, "data.length=12", "model=nine_factor", *tiny, "targets=[]"])
    predictions = pd.read_parquet("runs/hub/latest/predictions.parquet")
    assert set(predictions["institution"]) == {"region-01", "region-02", "region-03"}
    assert predictions["p"].between(0, 1).all()
    bundle = json.loads(Path("runs/hub/latest/model/model.json").read_text())
    assert "nine_factor" in json.dumps(bundle)


@pytest.mark.slow
def test_a_refresh_after_new_rows_touches_their_companies_only_and_doing_it_again_none(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = tmp_path / "hub"
    shutil.copytree(made / "hub", hub)
    first = said(capsys, "data", "refresh", str(hub), "--as-of", "2025-06-16")
    assert first["is_full"]
    power = pd.read_parquet(made / "eco" / "raw" / "power.parquet")
    late = power[power["valid_at"].astype("str") == "2025-05-31"].head(5)
    (tmp_path / "new").mkdir()
    late.assign(known_at=pd.Timestamp("2025-06-17 08:00"), kwh=late["kwh"] * 0.9).to_parquet(
        tmp_path / "new" / "power.parquet"
    )
    words = ("data", "refresh", str(hub), "--as-of", "2025-06-18", "--add", str(tmp_path / "new"))
    second = said(capsys, *words)
    assert not second["is_full"]
    assert 5 <= second["recomputed"] < first["recomputed"]
    again = said(capsys, *words)
    assert again["recomputed"] == 0
    assert 0 <= again["fresh_share"] <= 1
