"""A model's name becomes the files of its scores, beside its desk."""

from __future__ import annotations

from pathlib import Path

from fedcredit.errors import ConfigError

BOOK, RECORD, LOCK = "scores.sqlite", "rescore.json", "rescore.lock"


def desk_of(runs: Path, model: str) -> Path:
    """RUNS/models/MODEL. Raises ConfigError: the name would lead elsewhere.

    >>> desk_of(Path("runs"), "fedcredit-quickstart").as_posix()
    'runs/models/fedcredit-quickstart'
    """
    if model != Path(model).name or model.startswith("."):
        raise ConfigError("MODEL", found=repr(model[:80]), expected="the name of a registered model")
    return runs / "models" / model
