"""The state of a desk becomes champion.json, the small file that a running service looks at."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fedcredit.errors import FedCreditError
from fedcredit.trust.files import write_whole
from server.promotion.history import Promoted, State

NAME = "champion.json"


class PointerLags(FedCreditError):
    """What was decided is in the history, but champion.json could not be written, so a service does not see it yet."""

    code = "pointer"


def write_pointer(folder: Path, state: State) -> bool:
    """Make the pointer say what the history says; whether it said something else before.

    The history is the truth, and has its line before the pointer moves: after a crash in between, the next command or
    start of the service moves it.

    Raises:
        PointerLags: the disk refuses; what the history says stands.
    """
    path, data = folder / NAME, json.dumps(_body(state), ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n"
    try:
        if path.exists() and path.read_bytes() == data:
            return False
        write_whole(path, data)
    except OSError as fault:
        found = os.strerror(fault.errno or 0).lower()
        hint = "it is done and on record; free some space, and the next command or start of the service mends the file"
        raise PointerLags(NAME, found=found, expected="a file that can be written", hint=hint) from None
    return True


def _body(state: State) -> dict[str, Any]:
    nobody = {"bundle_sha256": None, "version": None, "promoted": None, "seq": 0}
    return {
        "schema": 1,
        **(state.champion.as_dict() if state.champion else nobody),
        "challenger": _or_null(state.challenger),
        "shadow": _or_null(state.shadow),
        "previous": _or_null(state.previous),
    }


def _or_null(one: Promoted | None) -> dict[str, Any] | None:
    return one.as_dict() if one else None
