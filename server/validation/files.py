"""A file of a run becomes its content, never more of it than a run can have written."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import yaml

from fedcredit.errors import ConfigError, RunError
from fedcredit.settings import StudySettings
from fedcredit.strict import build

# A report of 30 institutions and six models is 3 MB; predictions of a million rows under thirty models 300 MB.
MAX_BYTES = {".json": 64 << 20, ".yaml": 1 << 20, ".parquet": 2 << 30, ".safetensors": 64 << 20}
HINT = "the run folder was moved, deleted or changed: run the study again, or name the right --runs"


def content(path: Path) -> bytes:
    """The whole file.

    Raises:
        RunError: it is not there, or is larger than a run makes it.
    """
    most = MAX_BYTES[path.suffix]
    try:
        with path.open("rb") as file:
            read = file.read(most + 1)
    except OSError as fault:
        found = os.strerror(fault.errno or 0)
        raise RunError(str(path), found=found, expected="a file of the run", hint=HINT) from fault
    if len(read) > most:
        raise RunError(str(path), found="an oversize file", expected=f"at most {most:,} bytes", hint=HINT)
    return read


def sha256(path: Path) -> str:
    """The digest of a file, in hexadecimal."""
    return hashlib.sha256(content(path)).hexdigest()


def document(path: Path) -> dict[str, Any]:
    """A JSON object from a file of the run.

    Raises:
        RunError: it is no JSON object.
    """
    try:
        read = json.loads(content(path))
    except (ValueError, RecursionError) as fault:
        raise RunError(str(path), found="another form", expected="a JSON object", hint=HINT) from fault
    if not isinstance(read, dict):
        raise RunError(str(path), found=type(read).__name__, expected="a JSON object", hint=HINT)
    return read


def settings(path: Path) -> StudySettings:
    """What a run was asked, from its config.yaml.

    Raises:
        RunError: it is no configuration of a study.
    """
    try:
        return build(StudySettings, yaml.safe_load(content(path)), where=str(path))
    except (yaml.YAMLError, ConfigError, RecursionError) as fault:
        raise RunError(str(path), found="another form", expected="the settings of a study", hint=HINT) from fault
