"""Where a model's evidence is kept: RUNS/models/NAME/evidence, closed to others, each file written whole."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from fedcredit.errors import RunError


def evidence_folder(runs: Path, *, name: str) -> Path:
    """The folder of one registered name, made if it is not there.

    Raises:
        RunError: the name is no file name, or the folder cannot be made.
    """
    if not re.fullmatch(r"[\w.-]+", name) or name in (".", ".."):
        raise RunError("model's name", found=repr(name[:40]), expected="letters, digits, '_', '-' and '.'")
    folder = runs / "models" / name / "evidence"
    try:
        for path in (folder.parent, folder):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as fault:
        found = os.strerror(fault.errno or 0)
        raise RunError(str(folder), found=found, expected="a folder that can be written") from fault
    return folder


def write(path: Path, text: str) -> Path:
    """The file with its whole new content, or as it was before."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as fault:
        draft.unlink(missing_ok=True)
        found = os.strerror(fault.errno or 0)
        raise RunError(str(path), found=found, expected="a folder that can be written") from fault
    return path
