"""A kept tunnel: it is started again when it dies, and ends with its block."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedcredit.link.running import kept_tunnel
from tests.link.world import HOST, Line, World

PATIENCE_SECONDS = 10


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A running gateway."""
    made = World.make(tmp_path)
    try:
        made.open_gateway()
        yield made
    finally:
        made.close()


def manifest(port: int) -> bytes:
    """What the gateway gives through the tunnel."""
    with Line(port) as line:
        return line.ask("GET", "/v1/manifest", host=f"{HOST}:{port}").body


def test_a_kept_tunnel_is_started_again_on_its_port_and_ends_with_its_block(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "kept"
    with kept_tunnel(world.ends(world.institutions["harbour"]), folder=folder, role="institution") as tunnel:
        port = int(tunnel.address.rpartition(":")[2])
        assert manifest(port) == world.place.manifest.read_bytes()
        os.kill(int((folder / "caddy.pid").read_text()), signal.SIGKILL)
        until, seen = time.monotonic() + PATIENCE_SECONDS, b""
        while time.monotonic() < until and not seen:
            try:
                seen = manifest(port)
            except ConnectionError:
                time.sleep(0.05)
        assert seen == world.place.manifest.read_bytes()
    with pytest.raises(ConnectionRefusedError):
        manifest(port)
