"""A run folder as a study writes it, without the training: settings, report, units, predictions and a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import save_file
from typer.testing import CliRunner

from fedcredit.data.schema import Column, Label, Schema
from fedcredit.evaluation.report import Report, Spent, build
from fedcredit.models import bundle as bundles
from fedcredit.models.build import ModelSettings
from fedcredit.models.bundle import Bundle
from fedcredit.settings import DataSettings, EvaluationSettings, PrivacySettings, StudySettings, config_sha256
from server.cli import model

COMPANY = "91330106MA2SECRET"  # every company's name begins so, and no page may hold it
SCHEMA = Schema(
    (Column("debt", "raw", nullable=True, level=4),), Label("bad", definition="90 dpd"), company="id", period="month"
)


@dataclass(frozen=True)
class Run:
    """Where things are: `runs` is what --runs names."""

    runs: Path
    folder: Path

    @property
    def model(self) -> str:
        return str(self.folder / "model")

    @property
    def evidence(self) -> Path:
        return self.runs / "models" / "fedcredit-quick" / "evidence"


MakeRun = Callable[..., Run]


def predictions(*, rows: int, weight: float, rows_seed: int, banks_a_region: int) -> pd.DataFrame:
    """Two seeds of a federated model over five banks; the outcome follows debt, the second seed sees it less well."""
    rng = np.random.default_rng(rows_seed)
    debt = rng.normal(size=rows)
    y = (rng.random(rows) < 1 / (1 + np.exp(-(debt - 2.0)))).astype(np.int8)
    noise = rng.normal(size=rows)
    parts = []
    for seed in (0, 1):
        z = weight * debt - 2.0 + seed * noise
        parts.append(
            pd.DataFrame(
                {
                    "arm": "federated",
                    "method": "fedsgd",
                    "model": "logistic",
                    "model_institution": None,
                    "left_out": None,
                    "epsilon": 3.0,
                    "noise": "local",
                    "seed": seed,
                    "split": np.where(np.arange(rows) % 3 == 0, "validation", "test"),
                    "company": [f"{COMPANY}{i:04}" for i in range(rows)],
                    "institution": [f"bank-{i % 5}" for i in range(rows)],
                    "y": y,
                    "p": 1 / (1 + np.exp(-z)),
                    "size": np.where(np.arange(rows) % 7 == 0, "small", "micro"),
                    "sector": [f"sector-{i % 4}" if i > 3 else "rare <b>" for i in range(rows)],
                    "region": [f"region-{i % 5 // banks_a_region}" for i in range(rows)],
                    "stratum": 2020 + np.arange(rows) % 3,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def made(
    runs: Path,
    *,
    weight: float = 1.0,
    rows: int = 900,
    rows_seed: int = 0,
    time: str = "20260101T000000Z",
    data: str = "economy",
    banks_a_region: int = 2,
) -> Run:
    """A run of a study `quick`; another `weight` is another model on the same rows."""
    settings = StudySettings(
        study="quick",
        question="Does it?",
        seeds=(0, 1),
        data=DataSettings(name=data),
        privacy=PrivacySettings(epsilons=(3.0,)),
        evaluation=EvaluationSettings(splits=("validation", "test"), headline="test", draws=100),
    )
    folder = runs / "quick" / time
    (folder / "units").mkdir(parents=True)
    plain = json.loads(json.dumps(asdict(settings)))
    (folder / "config.yaml").write_text(yaml.safe_dump(plain), encoding="utf-8")
    weights = {"head.weight": torch.tensor([[weight, 0.0]]), "head.bias": torch.tensor([-2.0])}
    bundle = Bundle(
        study="quick",
        settings=ModelSettings("logistic"),
        time=1,
        inputs=("debt", "debt_missing"),
        schema=SCHEMA,
        weights=weights,
        config_sha256=config_sha256(settings),
        git_sha="abc",
        roster=tuple(f"bank-{i}" for i in range(5)),
        epsilon=2.9,
        delta=1e-5,
        ledger="run folder",
    )
    bundles.write(folder / "model", bundle)
    everything = predictions(rows=rows, weight=weight, rows_seed=rows_seed, banks_a_region=banks_a_region)
    everything.to_parquet(folder / "predictions.parquet", index=False)
    for seed in (0, 1):
        name = folder / "units" / f"federated-federated-eps3-seed{seed}-00000000"
        everything[everything["seed"] == seed].to_parquet(name.with_suffix(".parquet"), index=False)
        own = weights if seed == 0 else {key: value + 1 for key, value in weights.items()}
        save_file(own, name.with_suffix(".safetensors"))
        history = [{"round": 1, "institutions": ["bank-0"], "quarantined": {"bank-1": "norm"}, "missing": []}]
        facts = {"history": history, "epsilon": {"bank-0": 2.9}, "delta": 1e-5, "seconds": 1.0, "note": ""}
        name.with_suffix(".json").write_text(json.dumps(facts))
    report = build(
        everything,
        study="quick",
        dataset=data,
        config_sha256=config_sha256(settings),
        git_sha="abc",
        machine={"cores": 2},
        seeds=(0, 1),
        timing={"total_seconds": 1.0},
        spent=[Spent("federated", 3.0, 2.9, 1e-5)],
        privacy=["Target epsilon 3: spent 2.9."],
        rounds=[],
        splits=("test", "validation"),
        predictions_sha256=hashlib.sha256((folder / "predictions.parquet").read_bytes()).hexdigest(),
        draws=100,
    )
    Report(report, folder).write(folder)
    return Run(runs, folder)


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Makes runs in one folder."""
    return partial(made, tmp_path / "runs")


@pytest.fixture
def run(make_run: MakeRun) -> Run:
    return make_run()


@dataclass(frozen=True)
class Finished:
    """A run, what `model validate --json` printed of it, and the files."""

    run: Run
    printed: str
    page: str
    markdown: str
    evidence: dict[str, Any]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One validation for the tests that only read it."""
    run = made(tmp_path_factory.mktemp("finished") / "runs")
    words = ["validate", run.model, "--runs", str(run.runs), "--json", "--draws", "200"]
    result = CliRunner().invoke(model, words)
    assert result.exit_code == 0, result.exception
    texts = {path.suffix: path.read_text(encoding="utf-8") for path in run.evidence.iterdir()}
    return Finished(run, result.output, texts[".html"], texts[".md"], json.loads(texts[".json"]))


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """A JSON file with a change by hand."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
