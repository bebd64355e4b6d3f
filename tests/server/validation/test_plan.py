"""`fedcredit model validate --dry-run`: what would be read, computed and written, and nothing is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from fedcredit.errors import FedCreditError, ModelError, RunError, TableError
from server.cli import model
from server.promotion.evidence import FIGURES
from server.validation.sections import SECTIONS
from tests.server.validation.conftest import MakeRun, Run


def call(run: Run, *words: object) -> Result:
    said = ["validate", run.model, "--runs", str(run.runs), "--dry-run", *(str(word) for word in words)]
    return CliRunner().invoke(model, said)


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder with its moment and size."""
    return {str(one): (one.stat().st_mtime_ns, one.stat().st_size) for one in folder.rglob("*")}


def test_dry_run_names_files_figures_and_sections_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text("x" * 41)
    before = everything(tmp_path)
    done = call(run, "--overrides", tmp_path / "o.csv", "--draws", 300, "--json")
    assert done.exit_code == 0, done.exception
    told = json.loads(done.stdout)
    assert everything(tmp_path) == before
    assert not (run.runs / "models").exists()
    assert told["dry_run"] is True
    reads = {Path(one["path"]).name: one["bytes"] for one in told["reads"]}
    assert reads["predictions.parquet"] == (run.folder / "predictions.parquet").stat().st_size
    assert reads["o.csv"] == 41
    assert len([name for name in reads if "seed0" in name]) == 3
    assert not [name for name in reads if "seed1" in name]  # another model
    assert told["computes"]["figures"] == list(FIGURES)
    assert told["computes"]["sections"] == [*SECTIONS, "law"]
    assert (told["computes"]["draws"], told["computes"]["split"], told["computes"]["against"]) == (300, "test", None)
    assert [Path(one["path"]).suffix for one in told["writes"]] == [".html", ".md", ".json"]
    assert not any(one["is_there"] for one in told["writes"])


def test_files_it_names_are_those_that_are_written(run: Run) -> None:
    planned = [one["path"] for one in json.loads(call(run, "--json").stdout)["writes"]]
    words = ["validate", run.model, "--runs", str(run.runs), "--draws", "100"]
    assert CliRunner().invoke(model, words).stdout.splitlines() == planned
    again = call(run)
    assert again.stdout.count("(is there)") == 3
    assert "against no champion" in again.stdout


def test_champion_that_was_named_is_read_too(make_run: MakeRun) -> None:
    first, second = make_run(), make_run(weight=-0.5, time="20260102T000000Z")
    told = json.loads(call(first, "--against", second.model, "--json").stdout)
    assert told["computes"]["against"] == second.model
    assert str(second.folder / "predictions.parquet") in [one["path"] for one in told["reads"]]


@pytest.mark.parametrize("option", ["--overrides", "--table", "--counts", "--applicants"])
def test_file_that_is_not_there_is_refused_as_it_would_be_in_earnest(run: Run, tmp_path: Path, option: str) -> None:
    fault = call(run, option, tmp_path / "gone.csv").exception
    assert isinstance(fault, TableError)
    assert "gone.csv" in fault.where


def test_model_without_its_run_is_refused(run: Run) -> None:
    for unit in (run.folder / "units").glob("*.safetensors"):
        unit.unlink()
    assert isinstance(call(run).exception, RunError)
    words = ["validate", "models:/fedcredit-quick/1", "--runs", str(run.runs), "--dry-run"]
    fault = CliRunner().invoke(model, words).exception
    assert isinstance(fault, ModelError)
    assert isinstance(fault, FedCreditError)
    assert not (run.runs / "mlflow.db").exists()
