"""The state of a desk becomes champion.json, the small file that a running service looks at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fedcredit.trust.files import write_whole
from server.promotion.history import Promoted, State

NAME = "champion.json"


def write_pointer(folder: Path, state: State) -> bool:
    """Make the pointer say what the history says; whether it said something else before.

    The history is the truth, and has its line before the pointer moves: after a crash in between, the next command or
    start of the service moves it.
    """
    path, data = folder / NAME, json.dumps(_body(state), ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n"
    try:
        if path.read_bytes() == data:
            return False
    except FileNotFoundError:
        pass
    write_whole(path, data)
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
