"""`fedcredit model`: a table without outcomes is scored from a folder or a registered name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from click.testing import Result
from typer.testing import CliRunner

from fedcredit.data.schema import Column, Label, Schema
from fedcredit.errors import FedCreditError, ModelError, TableError
from fedcredit.models import bundle as bundles
from fedcredit.models.build import ModelSettings
from fedcredit.models.bundle import Bundle, PriorShift
from fedcredit.registry import Registry
from server.cli import model

SCHEMA = Schema(
    (Column("debt", "raw", nullable=True),),
    Label("bad", definition="90 dpd"),
    company="id",
    period="month",
    institution="bank",
    split="part",
    incumbent="old_score",
)
TABLE = "id,month,debt\n007,2024-01,0\n007,2024-02,\n007,2024-03,3\n甲,2024-02,0\n甲,2024-03,2\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A logistic model whose logit is the debt of the last of two months."""
    made = Bundle(
        study="quick",
        settings=ModelSettings("logistic"),
        time=2,
        inputs=("debt", "debt_missing", "present"),
        schema=SCHEMA,
        weights={"head.weight": torch.tensor([[0.0, 0, 0, 1, 0, 0]]), "head.bias": torch.zeros(1)},
        config_sha256="c" * 64,
        git_sha="abc",
        roster=("east",),
        epsilon=3.0,
        delta=1e-5,
    )
    bundles.write(tmp_path / "model", made)
    return tmp_path / "model"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "to-score.csv").write_text(TABLE)
    return tmp_path / "to-score.csv"


def call(*words: object) -> Result:
    return CliRunner().invoke(model, [str(word) for word in words])


def refused(*words: object) -> FedCreditError:
    fault = call(*words).exception
    assert isinstance(fault, FedCreditError)
    return fault


def test_scores_go_to_stdout_and_the_story_to_stderr(folder: Path, table: Path) -> None:
    version = bundles.read(folder).version
    result = call("score", folder, table)
    assert result.stdout.splitlines() == [
        "company,period,pd,grade,model_version,coverage",
        f"007,2024-03,0.952574,,{version},0.5",
        f"甲,2024-03,0.880797,,{version},1",
    ]
    assert result.stderr == f"{version}: 2 rows scored, 1 of them with empty cells in the window\n"


def test_json_has_the_same_scores(folder: Path, table: Path) -> None:
    answer = json.loads(call("score", folder, table, "--json").stdout)
    assert answer["rows"] == 2
    assert answer["scores"][1]["company"] == "甲"
    assert answer["scores"][1]["pd"] == pytest.approx(0.880797, abs=1e-6)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_scores_are_written_where_asked(folder: Path, table: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"scores.{ending}"
    assert call("score", folder, table, "--out", out).stdout == f"{out}\n"
    back = pd.read_csv(out, dtype={"company": "str"}) if ending == "csv" else pd.read_parquet(out)
    assert back["company"].tolist() == ["007", "甲"]
    assert back["pd"].tolist() == pytest.approx([0.952574, 0.880797], abs=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", f"scores.{ending}", "to-score.csv"]


def test_ending_that_is_not_known_is_refused(folder: Path, table: Path, tmp_path: Path) -> None:
    assert refused("score", folder, table, "--out", tmp_path / "scores.xlsx").expected == ".csv or .parquet"


def test_table_in_gb18030_and_as_parquet_scores_the_same(folder: Path, table: Path, tmp_path: Path) -> None:
    (tmp_path / "gb.csv").write_bytes(TABLE.encode("gb18030"))
    pd.read_csv(table, dtype={"id": "str"}).to_parquet(tmp_path / "t.parquet")
    expected = call("score", folder, table).stdout
    assert call("score", folder, tmp_path / "gb.csv").stdout == expected
    assert call("score", folder, tmp_path / "t.parquet").stdout == expected


def test_outcomes_in_the_table_change_nothing(folder: Path, table: Path, tmp_path: Path) -> None:
    pd.read_csv(table, dtype={"id": "str"}).assign(bad=["", 1, 0, "?", 7]).to_csv(tmp_path / "t.csv", index=False)
    assert call("score", folder, tmp_path / "t.csv").stdout == call("score", folder, table).stdout


def test_company_at_two_institutions_gets_two_scores(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,bank,month,debt\n1,east,2024-01,0\n1,west,2024-01,1\n")
    rows = [line.split(",") for line in call("score", folder, tmp_path / "t.csv").stdout.splitlines()[1:]]
    assert [(row[0], row[2], row[5]) for row in rows] == [("1", "0.5", "0.5"), ("1", "0.731059", "0.5")]


def test_missing_month_of_one_company_stops_no_other(folder: Path, tmp_path: Path) -> None:
    months = "".join(f"a,2024-{month:02},1\n" for month in (1, 2, 3, 5)) + "b,2024-04,0\nb,2024-05,0\n"
    (tmp_path / "t.csv").write_text(f"id,month,debt\n{months}")
    rows = [line.split(",") for line in call("score", folder, tmp_path / "t.csv").stdout.splitlines()[1:]]
    assert [(row[0], row[2], row[5]) for row in rows] == [("a", "0.731059", "0.5"), ("b", "0.5", "1")]


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("id,month\na,2024-01\n", "t.csv, column 'debt'"),
        ("id,month,debt\na,2024-01,much\n", "t.csv, column 'debt', row 2"),
        ("id,month,debt\n", "t.csv"),
        ("", "t.csv"),
    ],
)
def test_fault_of_the_table_names_the_place(folder: Path, tmp_path: Path, content: str, where: str) -> None:
    (tmp_path / "t.csv").write_text(content)
    fault = refused("score", folder, tmp_path / "t.csv")
    assert isinstance(fault, TableError)
    assert fault.where == where


def test_missing_table_and_missing_model_are_errors_of_ours(folder: Path, table: Path, tmp_path: Path) -> None:
    assert isinstance(refused("score", folder, tmp_path / "no.csv"), TableError)
    assert isinstance(refused("score", tmp_path / "no", table), ModelError)
    assert isinstance(refused("show", tmp_path / "no"), ModelError)


def test_show_says_what_the_model_is_and_what_it_cost(folder: Path) -> None:
    shown = call("show", folder).stdout
    assert "epsilon        3 at delta 1e-05" in shown
    assert "trained by     east" in shown
    assert json.loads(call("show", folder, "--json").stdout)["card"]["features"] == ["debt", "debt_missing", "present"]


def test_list_of_an_empty_folder_is_empty_and_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    result = call("list", "--runs", tmp_path / "runs")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "run a study first" in result.stderr
    assert json.loads(call("list", "--runs", tmp_path / "runs", "--json").stdout) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_registered_model_is_listed_shown_and_scores(
    folder: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    runs = tmp_path / "runs"
    registry = Registry(runs)
    registry.register(folder, run=registry.start_study("quick", config_sha256="c", schema_sha256="s", git_sha="g"))
    listed = call("list", "--runs", runs).stdout.splitlines()
    assert listed[1].split()[:3] == ["models:/fedcredit-quick/1", "candidate", "3"]
    assert call("show", "fedcredit-quick", "--runs", runs).stdout.startswith(
        "registered     models:/fedcredit-quick/1\n"
    )
    shown = json.loads(call("show", "models:/fedcredit-quick/1", "--runs", runs, "--json").stdout)
    assert shown["registered"]["aliases"] == ["candidate"]
    for name in ("models:/fedcredit-quick@candidate", "models:/fedcredit-quick/1"):
        assert call("score", name, table, "--runs", runs).stdout == call("score", folder, table).stdout


def test_calibrated_model_scores_calibrated(folder: Path, table: Path, tmp_path: Path) -> None:
    made = bundles.read(folder)
    moved = replace(made, calibration=(PriorShift(0.5, 0.2),))
    bundles.write(tmp_path / "moved", moved)
    rows = call("score", tmp_path / "moved", table).stdout.splitlines()
    assert float(rows[2].split(",")[2]) == pytest.approx(0.880797 / (0.880797 + 4 * 0.119203), abs=1e-5)
