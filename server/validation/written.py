"""Text becomes a file in a folder that is closed to others, whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from fedcredit.errors import RunError


def evidence_folder(folder: Path) -> Path:
    """The folder, made with those above it if it is not there.

    Raises:
        RunError: it cannot be made.
    """
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as fault:
        found = os.strerror(fault.errno or 0)
        raise RunError(str(folder), found=found, expected="a folder that can be written") from fault
    return folder


def write(path: Path, text: str) -> Path:
    """The file with its whole new content, or as it was before.

    Raises:
        RunError: the disk refuses.
    """
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
