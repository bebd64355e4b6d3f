"""`fedcredit consortium start | stop | status`: gateway, SuperLink and SuperExec of one consortium."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from server.consortium_output import Home, Json, opened, said

Only = Annotated[
    str | None, typer.Option("--only", help="gateway, superlink or superexec: for a unit or container of its own.")
]
STOP_SECONDS = 30.0


def start(home: Home = None, only: Only = None) -> None:
    """Run gateway, SuperLink and SuperExec in the foreground, each started again when it dies.

    The gateway follows the manifest, and the SuperLink's nodes are those of the manifest's members.
    """
    import logging

    from server.running import run_platform

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    run_platform(opened(home), only=only)


def stop(home: Home = None, as_json: Json = False) -> None:
    """Stop what `start` runs in this folder; nodes wait and come back by themselves."""
    from fedcredit.errors import NodeError
    from server.keepers import keepers

    run = opened(home).places.folder / "run"
    found = keepers(run)
    if not found:
        raise NodeError(str(run.parent), found="nothing that runs", expected="a started consortium")
    pids = sorted(set(found.values()))
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    give_up = time.monotonic() + STOP_SECONDS
    while keepers(run) and time.monotonic() < give_up:
        time.sleep(0.1)
    said({"stopped": pids}, [f"stopped process {pid}" for pid in pids], as_json=as_json)


def status(home: Home = None, as_json: Json = False) -> None:
    """What runs, and which members' nodes are online: exit code 1 where nothing runs."""
    from server.keepers import keepers
    from server.kept import pids_in
    from server.running import online

    kept = opened(home)
    run = kept.places.folder / "run"
    found = keepers(run)
    pids = {name: pid for name, pid in pids_in(run).items() if name in found}
    nodes = online(kept) if "superlink" in found else {}
    lines = [f"{name:10} {pid}" for name, pid in pids.items()]
    lines += [f"{part:10} kept by {pid}" for part, pid in found.items() if part not in pids]
    lines = lines or ["nothing runs"]
    lines += [f"{name:24} {state}" for name, state in nodes.items()]
    said({"running": pids, "keepers": found, "members": nodes}, lines, as_json=as_json)
    if not found:
        raise typer.Exit(1)


def demo(
    institutions: Annotated[int, typer.Option(help="Members, 4 to 60.")] = 5,
    rounds: Annotated[int, typer.Option(help="Rounds of the study.")] = 10,
    folder: Annotated[Path | None, typer.Option(help="Keep everything there; else a folder that goes.")] = None,
    as_json: Json = False,
) -> None:
    """A whole consortium on this machine: join, start, run the quickstart study over TLS, stop. Rows are synthetic."""
    words = ["--institutions", str(institutions), "--rounds", str(rounds)]
    words += ["--folder", str(folder)] if folder else []
    words += ["--json"] if as_json else []
    # It stands for both sides, so it is a program of its own: neither side imports the other.
    os.execv(sys.executable, [sys.executable, "-m", "experiments.demo", *words])  # noqa: S606 - who stops it, stops it all
