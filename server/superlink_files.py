"""A consortium's folder becomes the commands of Flower's SuperLink and SuperExec, and the files that they need.

The SuperLink listens on loopback only, with its processes apart (`--isolation process` and a secret: without them any
institution could take the coordinator's task), no installation of what a bundle asks for, and its state on disk.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from fedcredit.link.authority import write_private
from fedcredit.link.running import free_port
from fedcredit.trust.files import write_whole
from fedcredit.trust.manifest import Manifest
from server.certified import Certified, locked, superlink_certified

CONSORTIUM = "FEDCREDIT_CONSORTIUM"  # tells the coordinator, which SuperExec starts, whose folder to work in
SECRET_BYTES = 32
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
    def certified(self) -> Certified:
        """Certificate and key of the SuperLink on loopback."""
        return superlink_certified(self.home)

    @property
    def root(self) -> Path:
        """The authorities of the manifest in force, by which the SuperLink is known: see `trust`."""
        return self.folder / "root.crt"

    @property
    def secret(self) -> Path:
        """What SuperExec shows to be given a task."""
        return self.folder / "secret"

    @property
    def port_file(self) -> Path:
        """The loopback port, chosen once: the gateway's settings name it."""
        return self.folder / "port"

    def prepare(self) -> None:
        """Make the secret and the port where they are missing, each whole or not at all; what is there stays."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._is_prepared():
            return
        with locked(self.folder):
            with contextlib.suppress(FileNotFoundError):
                if self.secret.stat().st_size != SECRET_BYTES:
                    self.secret.unlink()  # half-written once; nobody can have been told it
            if not self.secret.exists():
                write_private(self.secret, secrets.token_bytes(SECRET_BYTES))
            if not self.port_file.exists() or not self.port_file.read_text().isdigit():
                write_whole(self.port_file, str(free_port()).encode())

    def _is_prepared(self) -> bool:
        try:
            return self.secret.stat().st_size == SECRET_BYTES and self.port_file.read_text().isdigit()
        except FileNotFoundError:
            return False

    def trust(self, manifest: Manifest) -> None:
        """Have the root file name the manifest's authorities: both, while one takes over from the other."""
        pem = manifest.authority.encode("ascii")
        if not self.root.exists() or self.root.read_bytes() != pem:
            write_whole(self.root, pem)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{int(self.port_file.read_text())}"

    def superlink(self) -> list[str]:
        """The command of the SuperLink."""
        host, _, port = self.address.partition(":")
        return [
            *_program("flower-superlink"),
            *("--ssl-certfile", str(self.certified.certificate), "--ssl-keyfile", str(self.certified.key)),
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
