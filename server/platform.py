"""A consortium's folder becomes the platform's processes: SuperLink, SuperExec and gateway, kept running until told.

The SuperLink listens on loopback only, with its processes apart (`--isolation process` and a secret: without them any
institution could take the coordinator's task), no installation of what a bundle asks for, and its state on disk.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcredit.errors import FederationError
from fedcredit.link.authority import Authority, new_key_and_csr
from server.deployed import CONSORTIUM

log = logging.getLogger(__name__)

SECRET_BYTES = 32
READY_SECONDS = 60.0
STOP_SECONDS = 10.0
# A process that dies at once is started again after a while that doubles; one that lived a minute begins afresh.
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, WELL_SECONDS = 0.5, 20.0, 60.0
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
}


@dataclass(frozen=True)
class SuperLinkFiles:
    """What the SuperLink needs in the consortium's folder; all of it open to its owner only."""

    home: Path

    @property
    def folder(self) -> Path:
        """superlink/ in the consortium's folder."""
        return self.home / "superlink"

    @property
    def certificate(self) -> Path:
        """Of the SuperLink on loopback; nodes sign in over TLS only."""
        return self.folder / "server.crt"

    @property
    def key(self) -> Path:
        """Key of that certificate."""
        return self.folder / "server.key"

    @property
    def root(self) -> Path:
        """The authority's own certificate."""
        return self.home / "authority" / "ca.crt"

    @property
    def secret(self) -> Path:
        """What SuperExec shows to be given a task."""
        return self.folder / "secret"

    @property
    def port_file(self) -> Path:
        """The loopback port, chosen once: the gateway's settings name it."""
        return self.folder / "port"

    def prepare(self, authority: Authority) -> None:
        """Make what is missing: done at `init`, while the authority's key is there."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.certificate.exists():
            csr = new_key_and_csr(self.key, name="superlink")
            pem = authority.issue(csr, role="server", name="superlink", days=3650, hosts=["127.0.0.1", "localhost"])
            self.certificate.write_text(pem)
        if not self.secret.exists():
            handle = os.open(self.secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(SECRET_BYTES))
        if not self.port_file.exists():
            self.port_file.write_text(str(free_port()))

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{int(self.port_file.read_text())}"

    def superlink(self) -> list[str]:
        """The command of the SuperLink."""
        host, _, port = self.address.partition(":")
        return [
            *_program("flower-superlink"),
            *("--ssl-certfile", str(self.certificate), "--ssl-keyfile", str(self.key)),
            *("--ssl-ca-certfile", str(self.root), "--enable-supernode-auth"),
            *("--isolation", "process", "--superexec-auth-secret-file", str(self.secret)),
            *("--database", str(self.folder / "state.db"), "--host", host, "--port", port),
            "--disable-runtime-dependency-installation",
        ]

    def superexec(self) -> list[str]:
        """The command of SuperExec, which starts a coordinator for each run."""
        return [
            *_program("flower-superexec"),
            *("--runtime-api-address", self.address, "--root-certificates", str(self.root)),
            *("--superexec-auth-secret-file", str(self.secret)),
        ]

    def environment(self) -> dict[str, str]:
        """The environment of both: quiet, without the operator's own Flower settings, and with the folder's name."""
        return {**os.environ, **QUIET, "FLWR_HOME": str(self.folder / "flwr"), CONSORTIUM: str(self.home)}


class Kept:
    """Processes that are started again when they die, until `stop`."""

    def __init__(self, commands: Mapping[str, list[str]], *, folder: Path, environment: Mapping[str, str]) -> None:
        self._commands, self._folder, self._environment = commands, folder, dict(environment)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._began: dict[str, float] = {}
        self._wait: dict[str, float] = dict.fromkeys(commands, FIRST_WAIT_SECONDS)
        self._due: dict[str, float] = dict.fromkeys(commands, 0.0)
        self.restarts: dict[str, int] = dict.fromkeys(commands, -1)

    def look(self) -> None:
        """Start what is not running and is due; note it in pids.json."""
        now, changed = time.monotonic(), False
        for name in self._commands:
            process = self._running.get(name)
            if process is not None and process.poll() is not None:
                log.warning("%s ended with %s", name, process.returncode)
                lived = now - self._began[name]
                self._wait[name] = FIRST_WAIT_SECONDS if lived > WELL_SECONDS else self._wait[name] * 2
                self._due[name] = now + min(self._wait[name], LONGEST_WAIT_SECONDS)
                del self._running[name]
            if name not in self._running and now >= self._due[name]:
                self._start(name)
                changed = True
        if changed:
            draft = self._folder / ".pids.json"
            draft.write_text(json.dumps({name: process.pid for name, process in self._running.items()}))
            draft.replace(self._folder / "pids.json")

    def stop(self) -> None:
        """End them all, last started first."""
        for process in reversed(list(self._running.values())):
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()
        (self._folder / "pids.json").unlink(missing_ok=True)

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


def keep(kept: Kept, *, on_look: Callable[[], Any] = lambda: None, seconds: float = 0.2) -> None:
    """Keep the processes running until SIGTERM or Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while True:
            kept.look()
            on_look()
            time.sleep(seconds)
    except KeyboardInterrupt:
        log.info("asked to stop")
    finally:
        signal.signal(signal.SIGTERM, before)
        kept.stop()


def wait_for_port(address: str, *, seconds: float = READY_SECONDS) -> None:
    """Return once somebody listens there.

    Raises:
        FederationError: nobody does in time.
    """
    host, _, port = address.rpartition(":")
    give_up = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            if time.monotonic() > give_up:
                raise FederationError(
                    address, found="nobody", expected=f"a server within {seconds:g} s", hint="see run/*.log"
                ) from None
            time.sleep(0.05)
        else:
            return


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _program(name: str) -> list[str]:
    """A program of flwr's, beside the Python that runs."""
    return [str(Path(sys.executable).with_name(name))]
