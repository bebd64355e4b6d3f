"""A consortium's folder becomes the commands of Flower's SuperLink and SuperExec, and the files that they need.

The SuperLink listens on loopback only, with its processes apart (`--isolation process` and a secret: without them any
institution could take the coordinator's task), no installation of what a bundle asks for, and its state on disk.
"""

from __future__ import annotations

import os
import secrets
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from fedcredit.link.authority import Authority, new_key_and_csr
from fedcredit.link.running import free_port
from fedcredit.trust.files import write_whole

CONSORTIUM = "FEDCREDIT_CONSORTIUM"  # tells the coordinator, which SuperExec starts, whose folder to work in
SECRET_BYTES = 32
SERVER_DAYS = 3650  # on loopback, of the consortium's own authority
COORDINATOR = "flwr-serverapp"  # what SuperExec starts for a run, found by its name
TASK_PROGRAMS = (COORDINATOR, "flwr-agentapp", "flwr-clientapp", "flwr-connector", "flwr-model", "flwr-simulation")
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
            pem = authority.issue(
                csr, role="server", name="superlink", days=SERVER_DAYS, hosts=["127.0.0.1", "localhost"]
            )
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

    @property
    def programs(self) -> Path:
        """Where SuperExec looks for the programs that it starts: the coordinator's, and none for other tasks."""
        return self.home / "run" / "programs"

    def environment(self) -> dict[str, str]:
        """The environment of both: quiet, without the operator's own Flower settings, and with the folder's name."""
        for name in TASK_PROGRAMS:
            does = f'exec {shlex.quote(sys.executable)} -P -m server.launch "$@"' if name == COORDINATOR else "exit 1"
            write_whole(self.programs / name, f"#!/bin/sh\n{does}\n".encode(), mode=0o700)
        path = f"{self.programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        own = {"FLWR_HOME": str(self.folder / "flwr"), CONSORTIUM: str(self.home), "PATH": path}
        return {**os.environ, **QUIET, **own}


def _program(name: str) -> list[str]:
    """A program of flwr's, beside the Python that runs."""
    return [str(Path(sys.executable).with_name(name))]
