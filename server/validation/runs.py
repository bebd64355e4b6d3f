"""A model's bundle becomes the folder of the run that trained it, and the unit of that run it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from fedcredit.errors import ModelError, RunError
from fedcredit.models.bundle import Bundle, read
from fedcredit.registry import Registry, Version, has_registry, model_name
from server.validation.files import HINT, content


@dataclass(frozen=True)
class Subject:
    """What is validated: a bundle, where it lies, and its registered version (None for a plain folder)."""

    bundle: Bundle
    folder: Path
    registered: Version | None

    @property
    def name(self) -> str:
        """The registered name, which is also the name of the model's desk."""
        return self.registered.name if self.registered else model_name(self.bundle.study)

    @property
    def version(self) -> int | None:
        return self.registered.version if self.registered else None

    def __str__(self) -> str:
        return str(self.registered) if self.registered else self.bundle.version


def find(model: str, *, runs: Path) -> Subject:
    """The model of `models:/NAME@ALIAS`, `models:/NAME/VERSION`, a plain NAME (its newest), or of a bundle folder.

    Raises:
        ModelError: nothing of that name, or no bundle.
    """
    if Path(model).is_dir():
        return Subject(read(Path(model)), Path(model), None)
    if not has_registry(runs):
        hint = "run a study first, or name its folder with --runs"
        raise ModelError(model, found=f"no model registry in {runs}", expected="mlflow.db", hint=hint)
    registry = Registry(runs)
    version = registry.find(model)
    folder = registry.fetch(version)
    return Subject(read(folder), folder, version)


def run_of(subject: Subject, *, runs: Path) -> Path:
    """The run folder whose model has this bundle's weights: the bundle itself, or what it was calibrated from.

    Raises:
        RunError: no run in `runs` has it.
    """
    study, sought = subject.bundle.study, _weights_line(subject.folder)
    near = [subject.folder.parent] if (subject.folder.parent / "config.yaml").is_file() else []
    for run in [*near, *_runs(runs / study)]:
        if (run / "model" / "MANIFEST.sha256").is_file() and _weights_line(run / "model") == sought:
            return run
    raise RunError(
        f"run of {subject}", found=f"none in {runs / study}", expected="the run that trained the model", hint=HINT
    )


def unit_of(bundle: Bundle, run: Path) -> str:
    """The name of the run's unit that has this bundle's weights, tensor by tensor.

    So the figures are about this model, and not about a neighbour of another seed or epsilon.

    Raises:
        RunError: no unit of the run has them.
    """
    for path in sorted((run / "units").glob("*.safetensors")):
        try:
            weights = load(content(path))
        except (SafetensorError, KeyError, ValueError):
            continue
        if set(weights) == set(bundle.weights) and all(
            torch.equal(weights[name], tensor) for name, tensor in bundle.weights.items()
        ):
            return path.stem
    raise RunError(
        str(run / "units"), found="no unit with the model's weights", expected="the one that it is", hint=HINT
    )


def _runs(home: Path) -> Iterator[Path]:
    """The runs of one study, the newest first."""
    return iter(sorted((path for path in home.glob("*Z") if path.is_dir()), reverse=True))


def _weights_line(folder: Path) -> str:
    """The line of a manifest that pins the weights; `read` has checked, or will check, that they are those."""
    try:
        lines = (folder / "MANIFEST.sha256").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.endswith("  weights.safetensors")), "")
