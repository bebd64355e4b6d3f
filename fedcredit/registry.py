"""What a study did becomes runs, and its model a registered version: MLflow in one file."""

from __future__ import annotations

import logging
import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from fedcredit.errors import ModelError, RunError
from fedcredit.models import bundle as bundles

RUNS = Path("runs")
CANDIDATE = "candidate"
# MLflow takes at most this many metrics in one log_batch call.
BATCH = 1000
MODEL_URI = re.compile(r"(?:models:/)?(?P<name>[^/@:']+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))?")
# What MLflow and torch.export say while they do the right thing, by its first words.
NOISE = (
    "The ``noload`` loader strategy is deprecated",  # MLflow 3.17 on SQLAlchemy 2.1
    ".*Any type hint is inferred as AnyType",  # MLflow's own classes, when mlflow.pyfunc is imported
    "The tensor attributes .* were assigned during export",  # nn.LSTM's list of flat weights
)


@dataclass(frozen=True)
class Version:
    """One registered version of a study's model; `bundle` is where its folder is kept, `sha256` its digest."""

    name: str
    version: int
    aliases: tuple[str, ...]
    created: str
    run: str
    bundle: str
    sha256: str
    tags: Mapping[str, str]

    def __str__(self) -> str:
        return f"models:/{self.name}/{self.version}"


def model_name(study: str) -> str:
    """The registered name of a study's model.

    >>> model_name("quickstart")
    'fedcredit-quickstart'
    """
    if not re.fullmatch(r"[\w.-]+", study):
        raise ModelError("study", found=repr(study), expected="letters, digits, '_', '-' and '.' in a model's name")
    return f"fedcredit-{study}"


def tracking_uri(runs: Path) -> str:
    """MLFLOW_TRACKING_URI where it is set, otherwise a sqlite file in the runs folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{runs.resolve() / 'mlflow.db'}"


class Registry:
    """The runs and versions of one runs folder, or of the server that MLFLOW_TRACKING_URI names.

    `client` is MLflow's own client, for whatever is not here. Opening a new sqlite file takes some seconds, once.
    """

    def __init__(self, runs: Path = RUNS) -> None:
        self.uri = tracking_uri(runs)
        self._artifacts: Path | None = None  # a server has its own place for artifacts
        if self.uri.startswith("sqlite:"):
            runs.mkdir(parents=True, exist_ok=True)
            self._artifacts = runs.resolve() / "mlartifacts"
        with _told(f"tracking store {_without_password(self.uri)}"):
            self.client = _mlflow().MlflowClient(tracking_uri=self.uri)

    def start_study(self, study: str, *, config_sha256: str, schema_sha256: str, git_sha: str) -> str:
        """The id of a new parent run in the study's experiment."""
        tags = {"study": study, "config_sha256": config_sha256, "schema_sha256": schema_sha256, "git_sha": git_sha}
        with _told(f"tracking store, study {study!r}"):
            experiment = self.client.get_experiment_by_name(study)
            at = (self._artifacts / study).as_uri() if self._artifacts else None
            number = (
                experiment.experiment_id if experiment else self.client.create_experiment(study, artifact_location=at)
            )
            return str(self.client.create_run(number, run_name=study, tags=tags).info.run_id)

    def start_institution(self, institution: str, *, parent: str) -> str:
        """The id of a new child run: one an institution, since a run a round would cost four times as much."""
        with _told("tracking store, institution's run"):
            number = self.client.get_run(parent).info.experiment_id
            tags = {"mlflow.parentRunId": parent, "institution": institution}
            return str(self.client.create_run(number, run_name=institution, tags=tags).info.run_id)

    def log_rounds(self, run: str, rounds: Mapping[int, Mapping[str, float]]) -> None:
        """Keep the metrics of each round, by round number, in as few calls as MLflow allows."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for step, of in rounds.items() for name, value in of.items()]
        with _told("tracking store, metrics"):
            for start in range(0, len(metrics), BATCH):
                self.client.log_batch(run, metrics=metrics[start : start + BATCH])

    def finish(self, run: str, *, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED") -> None:
        """Close a run and its institutions' runs."""
        with _told("tracking store"):
            number = self.client.get_run(run).info.experiment_id
            children = self.client.search_runs([number], f"tags.`mlflow.parentRunId` = '{run}'")
            for each in [*(child.info.run_id for child in children), run]:
                self.client.set_terminated(each, status=status)

    def register(self, folder: Path, *, run: str) -> Version:
        """The bundle in `folder` as the study's next version: its pt2 model, its folder, its origin; alias `candidate`.

        A bundle is registered once; doing it again gives the version that it has.
        """
        bundle = bundles.read(folder)
        name = model_name(bundle.study)
        with _told(f"model {name}"), _tracking(self.uri):
            known = next((v for v in self.versions(name) if v.sha256 == bundle.sha256), None)
            if known is None:
                kept = f"bundles/{bundle.sha256[:12]}"
                tags = {**_origin(bundle), "bundle": f"runs:/{run}/{kept}"}
                self.client.log_artifacts(run, str(folder), kept)
                info = self._log_model(bundle, run=run, tags=tags)
                if not self.client.search_registered_models(f"name = '{name}'"):
                    self.client.create_registered_model(name)
                made = self.client.create_model_version(
                    name, source=info.model_uri, run_id=run, tags=tags, model_id=info.model_id
                )
                number = int(made.version)
            else:
                number = known.version
            self.client.set_registered_model_alias(name, CANDIDATE, str(number))
            return self.version(name, number)

    def _log_model(self, bundle: bundles.Bundle, *, run: str, tags: dict[str, str]) -> Any:
        import mlflow.pytorch
        import numpy as np
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        windows = (bundle.time, len(bundle.inputs))
        signature = ModelSignature(
            inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, *windows))]),
            outputs=Schema([TensorSpec(np.dtype(np.float32), (-1,), "logit")]),
        )
        # Made here and not by log_model, which would put it into the experiment of a globally active run.
        number = self.client.get_run(run).info.experiment_id
        empty = self.client.create_logged_model(number, name="model", source_run_id=run, tags=tags)
        return mlflow.pytorch.log_model(
            bundle.model(),
            model_id=empty.model_id,
            signature=signature,
            input_example=np.zeros((2, *windows), np.float32),  # torch.export would fix a batch of 1
            pip_requirements=["torch"],
            serialization_format="pt2",
            run_id=run,
        )

    def version(self, name: str, number: int) -> Version:
        """One version with the aliases that point at it."""
        return _version(self.client.get_model_version(name, str(number)))

    def versions(self, name: str | None = None) -> list[Version]:
        """Every version of one model or of all, by name, the newest first."""
        with _told("model registry"):
            found: list[Any] = []
            page: str | None = None
            while page != "":
                answer = self.client.search_model_versions(f"name = '{name}'" if name else None, page_token=page)
                found += answer
                page = answer.token or ""
            # search_model_versions leaves the aliases out: ask for each version.
            versions = [self.version(each.name, int(each.version)) for each in found]
        return sorted(versions, key=lambda v: (v.name, -v.version))

    def find(self, uri: str) -> Version:
        """The version that `models:/NAME@ALIAS` or `models:/NAME/VERSION` means; the newest for a plain NAME.

        Raises:
            ModelError: another form, or no such model, version or alias; the hint lists what there is.
        """
        match = MODEL_URI.fullmatch(uri)
        if match is None:
            raise ModelError(uri, found="another form", expected="models:/NAME@ALIAS or models:/NAME/VERSION")
        known = self.versions(match["name"])
        for each in known:
            is_any = not match["alias"] and not match["version"]
            if is_any or match["alias"] in each.aliases or match["version"] == str(each.version):
                return each
        there = [f"{each}{''.join(f' @{alias}' for alias in each.aliases)}" for each in known or self.versions()]
        hint = f"there is {', '.join(there[:5])}" if there else "nothing is registered yet: run a study"
        raise ModelError(uri, found="no such version or alias", expected="a registered one", hint=hint)

    def point(self, name: str, aliases: Mapping[str, str | None]) -> list[str]:
        """Make each alias point at the version with this bundle's digest, or at none; the aliases that moved.

        A bundle that was never registered has no version, so its alias points at none.
        """
        known, moved = self.versions(name), []
        numbers = {version.sha256: version.version for version in known}
        held = {alias: version.version for version in known for alias in version.aliases}
        with _told(f"aliases of {name}"):
            for alias, sha256 in aliases.items():
                number = numbers.get(sha256) if sha256 is not None else None
                if number == held.get(alias):
                    continue
                if number is None:
                    self.client.delete_registered_model_alias(name, alias)
                else:
                    self.client.set_registered_model_alias(name, alias, str(number))
                moved.append(alias)
        return moved

    def fetch(self, version: Version) -> Path:
        """The version's bundle folder on this machine: the folder itself where artifacts are local.

        Raises:
            ModelError: the folder is gone, or is not the one that was registered.
        """
        match = re.fullmatch(r"runs:/(?P<run>[^/]+)/(?P<path>.+)", version.bundle)
        if match is None:
            raise ModelError(str(version), found="no bundle", expected="a version that a study registered")
        with _told(f"bundle of {version}"):
            root = self.client.get_run(match["run"]).info.artifact_uri
            # Asked by the artifact's own URI, MLflow gives a local folder as it is and copies only a remote one.
            folder = Path(_mlflow().artifacts.download_artifacts(f"{root}/{match['path']}", tracking_uri=self.uri))
        if bundles.read(folder).sha256 != version.sha256:
            found = "a bundle other than the registered one"
            raise ModelError(str(version), found=found, expected=f"sha256 {version.sha256[:12]}...")
        return folder


def resolve(model: str, *, runs: Path = RUNS) -> Path:
    """The bundle folder of `models:/NAME@ALIAS`, `models:/NAME/VERSION` or a path to a folder.

    Raises:
        ModelError: nothing of that name.
    """
    if not model.startswith("models:"):
        if not Path(model).is_dir():
            hint = "name a bundle folder, models:/NAME@ALIAS or models:/NAME/VERSION"
            raise ModelError(model, found="no such folder", expected="a model bundle", hint=hint)
        return Path(model)
    if not has_registry(runs):
        hint = "run a study first, or name its folder with --runs"
        raise ModelError(model, found=f"no model registry in {runs}", expected="mlflow.db", hint=hint)
    registry = Registry(runs)
    return registry.fetch(registry.find(model))


def has_registry(runs: Path = RUNS) -> bool:
    """Whether there is anything to ask: looking for a model must not make a new, empty registry.

    >>> has_registry(Path("no-such-folder"))
    False
    """
    return bool(os.environ.get("MLFLOW_TRACKING_URI")) or (runs / "mlflow.db").is_file()


def _origin(bundle: bundles.Bundle) -> dict[str, str]:
    return {
        "study": bundle.study,
        "bundle_sha256": bundle.sha256,
        "epsilon": "none" if bundle.epsilon is None else f"{bundle.epsilon:g}",
        "delta": "none" if bundle.delta is None else f"{bundle.delta:g}",
        "config_sha256": bundle.config_sha256,
        "schema_sha256": bundle.schema.sha256,
        "git_sha": bundle.git_sha,
    }


def _version(of: Any) -> Version:
    return Version(
        name=of.name,
        version=int(of.version),
        aliases=tuple(sorted(of.aliases)),
        created=datetime.fromtimestamp(of.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
        run=of.run_id or "",
        bundle=of.tags.get("bundle", ""),
        sha256=of.tags.get("bundle_sha256", ""),
        tags=dict(of.tags),
    )


def _mlflow() -> Any:
    """MLflow, imported on first use (2 s) and told to refuse pickle, to send nothing home and to print nothing."""
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # A server that is away is told within a minute; MLflow's own seven tries take several.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return mlflow


@contextmanager
def _told(where: str) -> Iterator[None]:
    """MLflow's errors as ours, and without the warnings that nobody can act upon."""
    with warnings.catch_warnings():
        for message in NOISE:
            warnings.filterwarnings("ignore", message)
        mlflow = _mlflow()
        try:
            yield
        except (mlflow.exceptions.MlflowException, OSError) as fault:
            found = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
            raise RunError(where, found=found, expected="MLflow to keep or give it") from fault


@contextmanager
def _tracking(uri: str) -> Iterator[None]:
    """MLflow's global tracking URI, which log_model and the sqlite registry read, for this block only."""
    mlflow = _mlflow()
    variable = os.environ.get("MLFLOW_TRACKING_URI")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
        # set_tracking_uri writes the variable too, and a later Registry would take it for the user's wish.
        if variable is None:
            os.environ.pop("MLFLOW_TRACKING_URI", None)
        else:
            os.environ["MLFLOW_TRACKING_URI"] = variable


def _without_password(uri: str) -> str:
    return re.sub(r"//[^@/]*@", "//", uri)
