"""Commands become processes that are started again when they die, until they are told to stop."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fedcredit.errors import FederationError

log = logging.getLogger(__name__)

PLATFORM = "platform"  # a keeper of all parts; else a keeper is called by its one part
READY_SECONDS = 60.0
STOP_SECONDS = 10.0
# A process that dies at once is started again after a while that doubles; one that lived a minute begins afresh.
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, WELL_SECONDS = 0.5, 20.0, 60.0


class Kept:
    """Processes that are started again when they die, until `stop`."""

    def __init__(
        self,
        commands: Mapping[str, list[str]],
        *,
        folder: Path,
        environment: Mapping[str, str],
        keeper: str = PLATFORM,
        after: Mapping[str, str] | None = None,
    ) -> None:
        """`after` is an address at which somebody must listen before the command of that name is started."""
        self._after = after or {}
        self._commands, self._folder, self._environment = commands, folder, dict(environment)
        self._pids = folder / f"pids-{keeper}.json"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._began: dict[str, float] = {}
        self._wait: dict[str, float] = dict.fromkeys(commands, FIRST_WAIT_SECONDS)
        self._due: dict[str, float] = dict.fromkeys(commands, 0.0)
        self.restarts: dict[str, int] = dict.fromkeys(commands, -1)
        self._end_left_over()

    def look(self) -> None:
        """Start what is not running and is due; note it in the keeper's file."""
        now, changed = time.monotonic(), False
        for name in self._commands:
            process = self._running.get(name)
            if process is not None and process.poll() is not None:
                log.warning("%s ended with %s", name, process.returncode)
                lived = now - self._began[name]
                self._wait[name] = FIRST_WAIT_SECONDS if lived > WELL_SECONDS else self._wait[name] * 2
                self._due[name] = now + min(self._wait[name], LONGEST_WAIT_SECONDS)
                del self._running[name]
            if name not in self._running and now >= self._due[name] and self._can_start(name):
                self._start(name)
                changed = True
        if changed:
            draft = self._pids.with_name(f".{self._pids.name}")
            draft.write_text(json.dumps({name: process.pid for name, process in self._running.items()}))
            draft.replace(self._pids)

    def restart(self) -> None:
        """End them all; the next look starts them with what their files say by then."""
        self._end()
        self._due = dict.fromkeys(self._commands, 0.0)

    def stop(self) -> None:
        """End them all, last started first."""
        self._end()
        self._pids.unlink(missing_ok=True)

    def _end(self) -> None:
        for process in reversed(list(self._running.values())):
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    def _end_left_over(self) -> None:
        """End what an earlier keeper, which was killed, has left running: it would hold the port and the database."""
        pids = pids_in(self._folder)
        for name, command in self._commands.items():
            pid = pids.get(name)
            for sign in (signal.SIGTERM, signal.SIGKILL):
                give_up = time.monotonic() + STOP_SECONDS
                if pid is None or not _runs(pid, command):
                    break
                log.warning("%s was left running as %s: it is ended", name, pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sign)
                while _runs(pid, command) and time.monotonic() < give_up:
                    time.sleep(0.05)

    def _can_start(self, name: str) -> bool:
        return name not in self._after or _listens(self._after[name])

    def _start(self, name: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as out:
            self._running[name] = subprocess.Popen(
                self._commands[name],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=self._environment,
                cwd=self._folder,
            )
        self._began[name] = time.monotonic()
        self.restarts[name] += 1


def pids_in(folder: Path) -> dict[str, int]:
    """The processes that any keeper has noted in the folder, by name."""
    found: dict[str, int] = {}
    for path in sorted(folder.glob("pids-*.json")):
        with contextlib.suppress(OSError, ValueError):
            noted = json.loads(path.read_bytes())
            found |= {name: pid for name, pid in noted.items() if type(pid) is int} if isinstance(noted, dict) else {}
    return found


def _runs(pid: int, command: list[str]) -> bool:
    """Whether the process runs this command: its number alone may be another program's by now."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return False
    return words[-len(command) :] == command  # before a script's own name stands its interpreter's


def keep(
    kept: Kept,
    *,
    on_look: Callable[[], Any] = lambda: None,
    on_stop: Callable[[], Any] = lambda: None,
    seconds: float = 0.2,
) -> None:
    """Keep the processes running until SIGTERM or Ctrl-C; `on_stop` comes before they are ended."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while True:
            kept.look()
            on_look()
            time.sleep(seconds)
    except KeyboardInterrupt:
        log.info("asked to stop")
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # who is told to stop twice still ends what it keeps
        try:
            on_stop()
        finally:
            kept.stop()
            signal.signal(signal.SIGTERM, before)


def wait_for_port(address: str, *, seconds: float = READY_SECONDS) -> None:
    """Return once somebody listens there.

    Raises:
        FederationError: nobody does in time.
    """
    give_up = time.monotonic() + seconds
    while not _listens(address):
        if time.monotonic() > give_up:
            raise FederationError(
                address, found="nobody", expected=f"a server within {seconds:g} s", hint="see run/*.log"
            )
        time.sleep(0.05)


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True
