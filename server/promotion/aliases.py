"""The places of a desk become the aliases champion, challenger and shadow of the model registry, some seconds later.

The registry follows and never leads: where it is down, scoring goes on from the desk, and the next command or start of
the service moves what it missed.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from fedcredit.errors import FedCreditError
from server.promotion.desk import Desk
from server.promotion.history import State

# MLflow's own are 7 times and 120 s: an operator would wait minutes for a registry that is down.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
ROUNDS = 5


class AliasesLag(FedCreditError):
    """The registry could not be told who is champion; the desk knows, and the next command tells it."""

    code = "aliases"


def follow_aliases(desk: Desk, *, runs: Path) -> list[str]:
    """Make the registry's aliases say what the desk says; those that moved. Nothing where there is no registry.

    Called without the desk's lock, which a slow registry would hold; one caller at a time moves aliases, and looks
    again whether the desk has changed meanwhile.

    Raises:
        AliasesLag: the registry is down, locked or refuses.
    """
    if not (os.environ.get("MLFLOW_TRACKING_URI") or (runs / "mlflow.db").is_file()):
        return []
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    lock = os.open(desk.folder / "aliases.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _follow(desk, runs)
    except BlockingIOError:
        raise _lags("another command that moves them", "its end") from None
    except FedCreditError as fault:
        raise _lags(fault.found, fault.expected) from fault
    # MLflow lets errors of its database and of its network through, each of another kind; the desk's work is done.
    except Exception as fault:
        raise _lags(f"{type(fault).__name__} in the registry", "aliases that can be moved") from fault
    finally:
        os.close(lock)


def _follow(desk: Desk, runs: Path) -> list[str]:
    from fedcredit.registry import Registry

    registry, moved = Registry(runs), list[str]()
    for _ in range(ROUNDS):
        state = desk.state()
        moved += registry.point(desk.name, _places(state))
        if desk.state().seq == state.seq:
            break
    return moved


def _places(state: State) -> dict[str, str | None]:
    named = {"champion": state.champion, "challenger": state.challenger, "shadow": state.shadow}
    return {alias: one.bundle_sha256 if one else None for alias, one in named.items()}


def _lags(found: str, expected: str) -> AliasesLag:
    hint = "nothing is lost: the next promote, rollback, challenge or shadow of this model moves them"
    return AliasesLag("aliases in the registry", found=found, expected=expected, hint=hint)
