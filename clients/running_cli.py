"""`fedcredit node start | stop | status`: the node of one folder, in the foreground or behind it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from fedcredit.errors import NodeError

Home = Annotated[Path | None, typer.Option("--home", help="The node's folder; else the only one under FEDCREDIT_HOME.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
running = typer.Typer()
START_SECONDS = 90.0  # a cold import of torch, and a minute in which a SuperLink holds a dead node for alive
STOP_SECONDS = 30.0


@running.command("start")
def start_node(
    home: Home = None,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and log to stderr: for systemd.")] = False,
    as_json: Json = False,
) -> None:
    """Run the node; it comes back to you once it is online, unless told to stay in the foreground."""
    from clients.home import find_home

    folder = find_home(home)
    if foreground:
        import logging

        from clients.start import run_node

        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
        logging.getLogger("httpx").setLevel(logging.WARNING)
        run_node(folder)
        return
    if _pid(folder.run) is not None:
        raise NodeError(
            str(folder.folder), found="a node that runs", expected="none", hint="fedcredit node status, or node stop"
        )
    folder.run.mkdir(mode=0o700, exist_ok=True)
    (folder.run / "status.json").unlink(missing_ok=True)
    typer.echo(f"starting the node of {folder.folder.name}; its log: {folder.run / 'node.log'}", err=True)
    typer.echo(f"waiting until the platform has let it in, {START_SECONDS:g} s at most", err=True)
    command = [sys.executable, "-m", "fedcredit", "node", "start", "--home", str(folder.folder), "--foreground"]
    with (folder.run / "node.log").open("ab") as log:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    status = _wait_online(child, folder.run)
    typer.echo(json.dumps(status) if as_json else f"online as node {status['node']}, process {status['pid']}")


@running.command("stop")
def stop_node(home: Home = None, as_json: Json = False) -> None:
    """Stop the node: it signs off at the platform and leaves nothing half-done."""
    from clients.home import find_home

    folder = find_home(home)
    pid = _pid(folder.run)
    if pid is None:
        raise NodeError(str(folder.folder), found="no node that runs", expected="one", hint="fedcredit node start")
    os.kill(pid, signal.SIGTERM)
    give_up = time.monotonic() + STOP_SECONDS
    while _pid(folder.run) is not None:
        if time.monotonic() > give_up:
            hint = f"it may be in a long training step; kill {pid} ends it, and loses nothing but that step"
            raise NodeError(str(folder.folder), found="a node that still runs", expected="none", hint=hint)
        time.sleep(0.1)
    typer.echo(json.dumps({"stopped": pid}) if as_json else f"stopped process {pid}")


@running.command("status")
def show_status(home: Home = None, as_json: Json = False) -> None:
    """How the node is: exit code 1 where it does not run."""
    from clients.home import find_home

    folder = find_home(home)
    status = _read(folder.run)
    if _pid(folder.run) is None and status.get("state") not in ("stopped", None):
        status["state"] = "died"
    refused = sum(status.get("refused", {}).values())
    line = (
        f"{status.get('state', 'never started')}, {status.get('messages', 0)} messages answered, {refused} refused, "
        f"{status.get('worker_restarts', 0)} restarts of the worker, "
        f"last message {status.get('last_message_at') or '-'}"
    )
    typer.echo(json.dumps(status) if as_json else line)
    if _pid(folder.run) is None:
        raise typer.Exit(1)


def _wait_online(child: subprocess.Popen[bytes], run: Path) -> dict[str, Any]:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up and child.poll() is None:
        status = _read(run)
        if status.get("state") == "online" and status.get("pid") == child.pid:
            return status
        time.sleep(0.1)
    log = (run / "node.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    said = next((line for line in reversed(log) if line.startswith("error: ")), "error: no node yet").removeprefix(
        "error: "
    )
    found = "one that ended" if child.poll() is not None else f"none online after {START_SECONDS:g} s"
    raise NodeError("node", found=f"{found} ({said[:300]})", expected="one online", hint=f"see {run / 'node.log'}")


def _read(run: Path) -> dict[str, Any]:
    try:
        status: dict[str, Any] = json.loads((run / "status.json").read_text())
    except (OSError, ValueError):
        return {}
    return status


def _pid(run: Path) -> int | None:
    """The process that holds the folder's lock, if there is one."""
    import fcntl

    try:
        with (run / "lock").open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return int(_read(run).get("pid", 0)) or None
    return None
