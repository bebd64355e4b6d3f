"""A founded consortium becomes a running one: the platform and every node as processes of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.demo.found import Founded
from fedcredit.errors import NodeError
from server.kept import pids_in
from server.superlink_files import QUIET

ONLINE_SECONDS = 300.0
STOP_SECONDS = 60.0


@dataclass
class Running:
    """The processes, by name: `platform`, and each institution's node."""

    founded: Founded
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start_platform(self) -> None:
        """Start gateway, SuperLink and SuperExec."""
        home = self.founded.consortium.places.folder
        self._start("platform", ["consortium", "start", "--home", str(home)], log=home / "platform.log")

    def start_node(self, name: str, *, before: Sequence[str] = ()) -> None:
        """Start one institution's node; `before` stands before its command, such as another network to run in."""
        home = self.founded.nodes[name]
        home.run.mkdir(mode=0o700, exist_ok=True)
        words = ["node", "start", "--home", str(home.folder), "--foreground"]
        self._start(name, words, log=home.run / "node.log", before=before)

    def wait_online(self, names: list[str] | None = None, *, seconds: float = ONLINE_SECONDS) -> None:
        """Return once these nodes are online.

        Raises:
            NodeError: one is not in time, or ended.
        """
        give_up = time.monotonic() + seconds
        for name in names or list(self.founded.nodes):
            while not self.is_online(name):
                if self.processes[name].poll() is not None or time.monotonic() > give_up:
                    log = (self.founded.nodes[name].run / "node.log").read_text(errors="replace").splitlines()
                    found = f"one that is not online: {log[-1] if log else 'no word of it'}"
                    raise NodeError(name, found=found, expected="a node", hint="run/node.log in its folder")
                time.sleep(0.1)

    def is_online(self, name: str) -> bool:
        """Whether the node's newest process has signed in."""
        status = self.status(name)
        return status.get("state") == "online" and status.get("pid") == self.processes[name].pid

    def status(self, name: str) -> dict[str, Any]:
        """The node's run/status.json."""
        try:
            said: dict[str, Any] = json.loads((self.founded.nodes[name].run / "status.json").read_text())
        except (OSError, ValueError):
            return {}
        return said

    def platform_pids(self) -> dict[str, int]:
        """The processes that the platform keeps running, by name."""
        return pids_in(self.founded.consortium.places.folder / "run")

    def stop(self, name: str, *, sign: int = signal.SIGTERM) -> None:
        """End one process, by default gently."""
        process = self.processes.pop(name)
        process.send_signal(sign)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        """End the nodes, then the platform."""
        for process in self.processes.values():
            process.terminate()
        for name in [*(name for name in self.processes if name != "platform"), "platform"]:
            if name in self.processes:
                self.stop(name)

    def _start(self, name: str, words: list[str], *, log: Path, before: Sequence[str] = ()) -> None:
        with log.open("ab") as out:
            self.processes[name] = subprocess.Popen(
                [*before, sys.executable, "-m", "fedcredit", *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **QUIET},
            )


@contextmanager
def running(founded: Founded) -> Iterator[Running]:
    """The consortium with its platform and all its nodes online; all of it is stopped at the end."""
    processes = Running(founded)
    try:
        processes.start_platform()
        for name in founded.nodes:
            processes.start_node(name)
        processes.wait_online()
        yield processes
    finally:
        processes.stop_all()
