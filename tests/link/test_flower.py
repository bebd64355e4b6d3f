"""Flower's own programs work through tunnel and gateway: its node comes online, an operator sees it and adds none."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fedcredit.link.tunnel import LocalTls, local_certificate
from tests.link.world import HOST, World, card
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
PROGRAMS = Path(sys.executable).parent
PATIENCE_SECONDS = 60


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Certificates and places; nothing runs yet."""
    made = World.make(tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def run(world: World) -> Iterator[Runner]:
    """Starts Flower's programs and ends them."""
    runner = Runner(world.folder)
    yield runner
    for process in runner.started:
        process.terminate()
    for process in runner.started:
        process.wait(30)


class Runner:
    """Flower's command line with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started = folder, list[subprocess.Popen[bytes]]()
        (folder / "flwr").mkdir()
        quiet = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
        # Flower's programs start each other by name.
        path = os.pathsep.join([str(PROGRAMS), os.environ["PATH"]])
        self.env = {**os.environ, **quiet, "FLWR_HOME": str(folder / "flwr"), "PATH": path}

    def start(self, program: str, *arguments: str) -> None:
        """In the background."""
        with (self.folder / f"{program}.log").open("wb") as log:
            command = [str(PROGRAMS / program), *arguments]
            self.started.append(subprocess.Popen(command, env=self.env, stdout=log, stderr=subprocess.STDOUT))

    def flwr(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """To its end."""
        command = [str(PROGRAMS / "flwr"), *arguments]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=90, check=False)

    def connection(self, name: str, port: int, root: Path) -> None:
        """A name that `flwr` knows a SuperLink by."""
        with (self.folder / "flwr" / "config.toml").open("a") as file:
            file.write(f'[superlink.{name}]\naddress = "{HOST}:{port}"\nroot-certificates = "{root}"\n')


def start_superlink(world: World, run: Runner) -> int:
    """Flower's own, with node authentication, on a certificate of the consortium."""
    own, port = card(world.authority, world.folder, "superlink", role="server"), free_port()
    files = ["--ssl-certfile", str(own.certificate), "--ssl-keyfile", str(own.key)]
    files += ["--ssl-ca-certfile", str(world.folder / "authority" / "ca.crt")]
    guards = ["--enable-supernode-auth", "--isolation", "process", "--disable-runtime-dependency-installation"]
    database = ["--database", str(world.folder / "state.db")]
    run.start("flower-superlink", *files, *guards, *database, "--host", HOST, "--port", str(port))
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            socket.create_connection((HOST, port), 1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return port
    raise AssertionError((world.folder / "flower-superlink.log").read_text()[-1000:])


def local(world: World, name: str) -> tuple[Path, LocalTls]:
    """A TLS end of a tunnel on this machine."""
    return local_certificate(world.folder / f"{name}-local", port=free_port())


def test_flower_s_own_node_comes_online_and_an_operator_sees_it_and_adds_none(world: World, run: Runner) -> None:
    key = world.folder / "node"
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", "", "-f", str(key)], check=True)
    public = key.with_suffix(".pub")
    harbour = replace(world.institutions["harbour"], flower_key=public.read_text().strip())
    world.institutions["harbour"] = harbour
    port = start_superlink(world, run)
    world.place = replace(world.place, superlink=f"{HOST}:{port}")
    world.open_gateway()
    root, bank = local(world, "bank")
    operator_root, operator = local(world, "operator")
    world.tunnel(world.ends(harbour), local=bank)
    world.tunnel(world.ends(world.operators["ops"]), role="operator", local=operator)
    run.connection("direct", port, world.folder / "authority" / "ca.crt")
    run.connection("through", operator.port, operator_root)

    assert "403" in run.flwr("supernode", "register", str(public), "through").stderr
    assert run.flwr("supernode", "register", str(public), "direct").returncode == 0
    run.start(
        "flower-supernode",
        *("--superlink", f"{HOST}:{bank.port}", "--root-certificates", str(root)),
        *("--auth-supernode-private-key", str(key), "--port", str(free_port())),
    )
    until, seen = time.monotonic() + PATIENCE_SECONDS, ""
    while time.monotonic() < until and seen != "online":
        (node,) = json.loads(run.flwr("supernode", "list", "through", "--format", "json").stdout)["nodes"]
        seen = node["status"]
    assert seen == "online", (world.folder / "flower-supernode.log").read_text()[-1000:]
