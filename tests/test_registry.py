"""Runs, versions and bundles against a real MLflow on a sqlite file of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fedcredit import registry
from fedcredit.data.schema import Column, Label, Schema
from fedcredit.errors import ModelError, RunError
from fedcredit.models import bundle as bundles
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.bundle import Bundle

HASHES = {"config_sha256": "c" * 64, "git_sha": "abc"}
SCHEMA = Schema((Column("debt", "raw"), Column("sales", "raw")), Label("bad"), company="id", period="month")


def made(seed: int) -> Bundle:
    settings = ModelSettings("lstm", hidden=4)
    inputs = ("debt", "sales", "present")
    weights = build(settings, features=inputs, time=6, seed=seed).state_dict()
    hashes = ("c" * 64, "abc")
    return Bundle(
        "quick", settings, 6, inputs, SCHEMA, weights, *hashes, roster=("east", "西行"), epsilon=3.0, delta=1e-5
    )


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A runs folder with a space and a Chinese name, since a bank will have one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield tmp_path_factory.mktemp("my 运行") / "runs"


@pytest.fixture(scope="session")
def store(runs: Path) -> registry.Registry:
    return registry.Registry(runs)


@pytest.fixture(scope="session")
def run(store: registry.Registry) -> str:
    return store.start_study("quick", schema_sha256=SCHEMA.sha256, **HASHES)


@pytest.fixture(scope="session")
def folder(runs: Path) -> Path:
    bundles.write(runs / "quick" / "model", made(1))
    return runs / "quick" / "model"


@pytest.fixture(scope="session")
def version(store: registry.Registry, run: str, folder: Path) -> registry.Version:
    return store.register(folder, run=run)


@pytest.mark.slow
def test_rounds_of_each_institution_are_kept_under_the_study(store: registry.Registry) -> None:
    run = store.start_study("rounds", schema_sha256="s", **HASHES)
    for name in ("east", "西行"):
        child = store.start_institution(name, parent=run)
        store.log_rounds(child, {step: {"loss": 1 / step, "auc": 0.5} for step in range(1, 801)})
    store.finish(run)
    experiment = store.client.get_run(run).info.experiment_id
    children = store.client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run}'")
    assert {child.info.run_name for child in children} == {"east", "西行"}
    history = store.client.get_metric_history(children[0].info.run_id, "loss")
    assert [(m.step, m.value) for m in history[:2]] == [(1, 1.0), (2, 0.5)]
    assert len(history) == 800
    assert {each.info.status for each in [*children, store.client.get_run(run)]} == {"FINISHED"}


@pytest.mark.slow
def test_study_run_says_what_it_was_made_of(store: registry.Registry, run: str) -> None:
    tags = store.client.get_run(run).data.tags
    assert {name: tags[name] for name in ("study", "config_sha256", "schema_sha256", "git_sha")} == {
        "study": "quick",
        "schema_sha256": SCHEMA.sha256,
        **HASHES,
    }


@pytest.mark.slow
def test_unreachable_store_is_an_error_of_ours(store: registry.Registry) -> None:
    with pytest.raises(RunError, match="institution's run"):
        store.start_institution("east", parent="no-such-run")


@pytest.mark.slow
def test_candidate_is_registered_with_its_origin(version: registry.Version, folder: Path) -> None:
    assert str(version) == "models:/fedcredit-quick/1"
    assert version.aliases == ("candidate",)
    assert version.sha256 == bundles.read(folder).sha256
    assert version.tags["epsilon"] == "3"
    assert version.tags["schema_sha256"] == SCHEMA.sha256


@pytest.mark.slow
@pytest.mark.usefixtures("version")
def test_same_bundle_is_registered_once(store: registry.Registry, run: str, folder: Path) -> None:
    assert store.register(folder, run=run).version == 1
    assert len(store.versions("fedcredit-quick")) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("version")
@pytest.mark.parametrize("name", ["@candidate", "/1"])
def test_bundle_comes_back_from_its_registered_name(runs: Path, folder: Path, name: str) -> None:
    found = registry.resolve(f"models:/fedcredit-quick{name}", runs=runs)
    assert runs in found.parents
    assert bundles.read(found).sha256 == bundles.read(folder).sha256


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 7])
def test_pt2_model_gives_the_logits_of_the_torch_model(
    store: registry.Registry, version: registry.Version, folder: Path, batch: int
) -> None:
    import mlflow

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store.uri)
        source = store.client.get_model_version(version.name, str(version.version)).source
        artifacts = store.client.get_logged_model(source.removeprefix("models:/")).artifact_location
        loaded = mlflow.pyfunc.load_model(artifacts)
    x = np.random.default_rng(0).normal(size=(batch, 6, 3)).astype(np.float32)
    with torch.no_grad():
        expected = bundles.read(folder).model()(torch.from_numpy(x)).numpy()
    assert loaded.predict(x) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_no_pickle_is_stored_and_none_would_be_loaded(runs: Path, version: registry.Version) -> None:
    stored = {path.suffix for path in (runs / "mlartifacts").rglob("*") if path.is_file()}
    assert stored == {".txt", "", ".yaml", ".json", ".pt2", ".safetensors", ".sha256"}
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


@pytest.mark.slow
@pytest.mark.usefixtures("version")
def test_registering_leaves_the_callers_mlflow_as_it_was() -> None:
    import mlflow

    assert mlflow.active_run() is None
    assert "MLFLOW_TRACKING_URI" not in os.environ


@pytest.mark.slow
@pytest.mark.parametrize("name", ["models:/fedcredit-quick/9", "models:/fedcredit-quick@champion", "models:/other/1"])
def test_unknown_version_is_refused_with_what_there_is(runs: Path, version: registry.Version, name: str) -> None:
    with pytest.raises(ModelError, match="hint: there is models:/fedcredit-quick/1"):
        registry.resolve(name, runs=runs)


@pytest.mark.slow
def test_bundle_changed_in_the_artifact_store_is_refused(store: registry.Registry, runs: Path, run: str) -> None:
    bundles.write(runs / "second", made(2))
    second = store.register(runs / "second", run=run)
    kept = store.fetch(second)
    for file in kept.iterdir():
        file.unlink()
    bundles.write(kept, replace(made(2), epsilon=0.1))
    with pytest.raises(ModelError, match="other than the registered one"):
        registry.resolve(str(second), runs=runs)
    store.client.set_registered_model_alias("fedcredit-quick", "candidate", "1")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["models:/a/b/c", "models:/a@", "models:/a/latest", "models:/a'or'/1", "models:/"])
def test_misspelt_uri_is_refused(store: registry.Registry, name: str) -> None:
    with pytest.raises(ModelError, match="another form"):
        store.find(name)


def test_looking_for_a_model_makes_no_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ModelError, match="no model registry"):
        registry.resolve("models:/a/1", runs=tmp_path / "runs")
    assert list(tmp_path.iterdir()) == []


def test_path_is_a_bundle_folder_or_an_error(tmp_path: Path) -> None:
    assert registry.resolve(str(tmp_path)) == tmp_path
    with pytest.raises(ModelError, match="no such folder"):
        registry.resolve(str(tmp_path / "no"))


def test_tracking_uri_of_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    assert registry.tracking_uri(tmp_path) == "https://mlflow.example"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert registry.tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"


def test_study_name_that_a_model_cannot_have_is_refused() -> None:
    with pytest.raises(ModelError, match="letters, digits"):
        registry.model_name("a/b")


@pytest.mark.slow
def test_importing_the_registry_does_not_import_mlflow() -> None:
    code = "import sys, fedcredit.registry; print('mlflow' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "False\n"
