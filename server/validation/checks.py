"""A run's report becomes lines of what was checked of it, and is refused where it does not fit its own scores."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from fedcredit.errors import FedCreditError, RunError
from fedcredit.evaluation.calibration import Prevalence
from fedcredit.evaluation.panel import read_panel
from fedcredit.evaluation.rows import panel_rows
from fedcredit.registry import Registry
from fedcredit.settings import config_sha256
from server.validation.files import HINT, sha256
from server.validation.source import Source

RECOMPUTED = ("n", "positives", "auc", "auc_low", "auc_high", "gini", "ks", "ap", "brier", "ece", "slope", "intercept")
CLOSE = 1e-9


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `holds` is None where it could not be."""

    what: str
    holds: bool | None
    how: str


def checks(source: Source, *, runs: Path) -> list[Check]:
    """What was checked before a figure was taken from the run.

    Raises:
        RunError: report.json holds figures that its own predictions do not give, or differs from the registered copy.
    """
    rows = _recomputed(source)
    return [
        Check("every file of the bundle has the digest in its manifest", True, "MANIFEST.sha256"),
        Check(
            "the bundle is the registered one",
            True if source.subject.registered else None,
            "its tag in the registry" if source.subject.registered else "a folder was named, not a registered version",
        ),
        Check("the model's weights are those of one unit of the run", True, f"units/{source.unit}.safetensors"),
        Check("predictions.parquet is the file that the report was made from", True, "report.json: predictions_sha256"),
        Check("its scores of this model are the unit's own", True, f"units/{source.unit}.parquet"),
        Check("report.json speaks of the same settings and code as the bundle", True, "config_sha256, git_sha"),
        Check(f"{rows} rows of report.json on this model come out again from the predictions", True, "to 1e-9"),
        _settings(source),
        _registered_copy(source, runs=runs),
    ]


def _recomputed(source: Source) -> int:
    """How many of the report's rows on this kind of model were computed again and came out the same."""
    told = source.report
    try:
        prevalence = Prevalence(**told["prevalence"])
        panels = [read_panel(source.variant, split) for split in told["splits"]]
        mine = [row for panel in panels for row in panel_rows(panel, spent=(), prevalence=prevalence)]
        theirs = {_key(row): row for row in told["rows"]}
        for row in mine:
            other = theirs[_key(row)]
            for name in RECOMPUTED:
                if not _is_close(row[name], other[name]):
                    where = f"{source.run / 'report.json'}, {name} of {row['institution']} on {row['split']}"
                    found, expected = f"{other[name]}", f"{row[name]}, which its predictions give"
                    raise RunError(where, found=found, expected=expected, hint=HINT)
    except (KeyError, TypeError, AttributeError) as fault:
        raise RunError(
            str(source.run / "report.json"), found="rows of another form", expected="the rows of a report", hint=HINT
        ) from fault
    return len(mine)


def _key(row: dict[str, object]) -> tuple[object, ...]:
    names = ("arm", "model", "method", "left_out", "epsilon", "noise", "institution", "scored_on", "split")
    return tuple(row[name] for name in names)


def _is_close(mine: object, theirs: object) -> bool:
    if isinstance(mine, (int, float)) and isinstance(theirs, (int, float)):
        return math.isclose(mine, theirs, rel_tol=CLOSE, abs_tol=CLOSE)
    return mine is None and theirs is None


def _settings(source: Source) -> Check:
    """Refused only by a person: settings gain fields with a new version, and the digest with them."""
    holds = config_sha256(source.settings) == source.report["config_sha256"]
    how = "its digest is config_sha256" if holds else "another digest: a later version of the program, or a hand"
    return Check("config.yaml is what the run was started with", holds, how)


def _registered_copy(source: Source, *, runs: Path) -> Check:
    """report.json beside the copy that the tracking store took when the run ended."""
    what, registered = "report.json is the copy that the tracking store took", source.subject.registered
    if registered is None or not registered.run:
        return Check(what, None, "no registered version was named")
    try:
        copy = _artifact(registered.run, runs=runs)
    except (FedCreditError, OSError, ValueError) as fault:
        return Check(what, None, f"the store does not give it ({type(fault).__name__})")
    if hashlib.sha256(copy).hexdigest() != sha256(source.run / "report.json"):
        raise RunError(
            str(source.run / "report.json"), found="another file than was registered", expected="the same", hint=HINT
        )
    return Check(what, True, "equal bytes")


def _artifact(run: str, *, runs: Path) -> bytes:
    import mlflow

    registry = Registry(runs)
    try:
        root = registry.client.get_run(run).info.artifact_uri
        path = Path(mlflow.artifacts.download_artifacts(f"{root}/report.json", tracking_uri=registry.uri))
    except mlflow.exceptions.MlflowException as fault:
        raise OSError from fault
    return path.read_bytes()
