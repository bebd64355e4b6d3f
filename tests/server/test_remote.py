"""An operator's machine takes from the platform what is signed, small and of the right form, and nothing else."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fedcredit.errors import FederationError
from fedcredit.link.authority import Authority
from fedcredit.trust.keys import Identity
from fedcredit.trust.manifest import Manifest, ManifestRefused, seal_manifest
from server.consortium.operator import Facts, Profile
from server.remote import _status_at, refreshed

NOW = datetime.now(UTC).replace(microsecond=0)


class Gateway(ThreadingHTTPServer):
    """The near end of a tunnel: answers every request with the same bytes."""

    daemon_threads = True
    body, status = b"", 200

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    server: Gateway

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # who asked has hung up at its limit
            self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway(("127.0.0.1", 0), _Answer)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join(10)


@pytest.fixture
def authorities(tmp_path: Path) -> list[Authority]:
    return [Authority.create(tmp_path / name, name=name) for name in ("old", "new")]


OFFICER = Identity.generate()


def manifest(version: int, authority: str, **change: Any) -> Manifest:
    said = Manifest(
        consortium="pearl",
        version=version,
        issued=NOW,
        expires=NOW + timedelta(days=90),
        threshold=1,
        officers={"ann": OFFICER.public},
        members=(),
        operators=(),
        studies=(),
        packages=(),
        gateway="127.0.0.1:443",
        authority=authority,
    )
    return replace(said, **change)


def sealed(one: Manifest) -> bytes:
    return seal_manifest(one, by=[OFFICER])


def profile(folder: Path, one: Manifest) -> Profile:
    """An operator that joined with this manifest when it was issued."""
    made = Profile(folder, Facts("ops", "pearl", one.gateway, "127.0.0.1"))
    made.manifest.pin(sealed(one), fingerprint=one.root_fingerprint, now=one.issued)
    (folder / "ca.crt").write_text(one.authority)
    return made


def test_an_operator_follows_to_a_new_authority(gateway: Gateway, authorities: list[Authority], tmp_path: Path) -> None:
    old, new = (one.pem for one in authorities)
    ours = profile(tmp_path / "ops", manifest(1, old))
    for version, named in ((2, new + old), (3, new)):
        gateway.body = sealed(manifest(version, named))
        assert refreshed(ours, gateway.address).version == version
        assert (ours.folder / "ca.crt").read_text() == named
    gateway.body = sealed(manifest(2, new + old))
    with pytest.raises(ManifestRefused, match="version 2"):
        refreshed(ours, gateway.address)
    assert (ours.folder / "ca.crt").read_text() == new


def test_an_operator_that_was_away_when_its_manifest_ran_out_comes_back(
    gateway: Gateway, authorities: list[Authority], tmp_path: Path
) -> None:
    long_ago = NOW - timedelta(days=100)
    before = manifest(1, authorities[0].pem, issued=long_ago, expires=long_ago + timedelta(days=90))
    ours = profile(tmp_path / "ops", before)
    gateway.body = sealed(before)
    with pytest.raises(ManifestRefused, match="expired"):
        refreshed(ours, gateway.address)
    gateway.body = sealed(manifest(2, authorities[0].pem))
    assert refreshed(ours, gateway.address).version == 2


def test_a_manifest_or_status_past_its_limit_is_not_read(
    gateway: Gateway, authorities: list[Authority], tmp_path: Path
) -> None:
    ours = profile(tmp_path / "ops", manifest(1, authorities[0].pem))
    gateway.body = b" " * (17 * 1024 * 1024)
    with pytest.raises(FederationError, match="larger"):
        refreshed(ours, gateway.address)
    with pytest.raises(FederationError, match="larger"):
        _status_at(f"http://{gateway.address}/v1/studies/a/")


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"7", b"\xff\xfe", b"[" * 100_000])
def test_a_status_of_another_form_is_a_failure_of_ours(gateway: Gateway, body: bytes) -> None:
    gateway.body = body
    with pytest.raises(FederationError, match="another format"):
        _status_at(f"http://{gateway.address}/v1/studies/a/")


def test_a_status_that_is_not_there_yet_is_none(gateway: Gateway) -> None:
    gateway.status = 404
    assert _status_at(f"http://{gateway.address}/v1/studies/a/") is None
    gateway.status, gateway.body = 200, b'{"state": "running"}'
    assert _status_at(f"http://{gateway.address}/v1/studies/a/") == {"state": "running"}
