"""A platform that runs while its authority changes: gateway and SuperLink show the new certificates by themselves."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import sys
from pathlib import Path

import pytest
from cryptography import x509

from fedcredit.link.authority import KEY_FILE, read_certificate
from fedcredit.link.caddy import LinkDown
from fedcredit.link.running import free_port
from fedcredit.trust.certificates import is_issued_by
from server import gateway_process, running
from server.certified import certify_servers
from server.consortium.home import Consortium
from server.gateway_process import GatewayProcess
from server.kept import Kept, pids_in
from server.running import _Watch, prepare_servers
from server.superlink_files import SuperLinkFiles
from tests.server.consortium.conftest import run

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def consortium(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Consortium:
    """One without members, on a free port of loopback; certificates are looked at every time."""
    monkeypatch.setattr(gateway_process, "CERTIFICATE_SECONDS", 0.0)
    monkeypatch.setattr(running, "CERTIFICATE_SECONDS", 0.0)
    where = ("--gateway", f"127.0.0.1:{free_port()}", "--no-require-pq")
    run("init", "pearl", *where, "--officers", "ann", "--threshold", "1")
    return Consortium.open(own_home / "consortium")


def shown(address: str) -> bytes:
    """The certificate that a server shows, in DER."""
    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((host, int(port)), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as tls,
    ):
        found = tls.getpeercert(binary_form=True)
    assert found
    return found


def verifies(der: bytes, pem: str) -> bool:
    return is_issued_by(x509.load_der_x509_certificate(der), read_certificate(pem))


def test_the_gateway_shows_a_certificate_of_the_new_authority_without_a_restart(consortium: Consortium) -> None:
    old, address = consortium.authority().pem, consortium.settings.gateway
    gateway = GatewayProcess(consortium)
    try:
        gateway.look()
        assert verifies(shown(address), old)
        run("rotate", "authority")
        gateway.look()
        assert verifies(shown(address), old)
        run("rotate", "authority", "--finish")
        gateway.look()
        assert verifies(shown(address), consortium.authority().pem)
    finally:
        gateway.stop()


def test_a_gateway_whose_port_for_metrics_somebody_took_starts_on_another(
    consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        ports = iter([somebody.getsockname()[1], free_port()])
        monkeypatch.setattr(gateway_process, "free_port", lambda: next(ports))
        gateway = GatewayProcess(consortium)
        try:
            with pytest.raises(LinkDown):
                gateway.look()
            gateway.look()
            assert shown(consortium.settings.gateway)
        finally:
            gateway.stop()


@pytest.mark.parametrize("only", [None, "superlink", "superexec"])
def test_superlink_and_superexec_are_started_again_with_the_new_certificate_and_only_then(
    consortium: Consortium, only: str | None
) -> None:
    files, folder = SuperLinkFiles(consortium.places.folder), consortium.places.folder / "run"
    folder.mkdir(exist_ok=True)
    names = ("superlink", "superexec") if only is None else (only,)
    kept = Kept(dict.fromkeys(names, SLEEP), folder=folder, environment=os.environ, keeper=only or "platform")
    watch = _Watch(consortium, files, kept, only=only)
    try:

        def look() -> dict[str, int]:
            kept.look()
            watch.look()
            kept.look()
            return pids_in(folder)

        before = look()
        run("rotate", "authority")
        assert look() == before
        assert files.root.read_text().count("BEGIN") == 2
        run("rotate", "authority", "--finish")
        after = look()
        assert set(after) == set(before) == set(names)
        assert set(after.values()).isdisjoint(before.values())
        assert files.root.read_text() == consortium.authority().pem
        assert look() == after
    finally:
        watch.stop()
        kept.stop()


def test_a_fault_that_stays_is_told_once(
    consortium: Consortium, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    files = SuperLinkFiles(consortium.places.folder)
    prepare_servers(consortium)
    kept = Kept({}, folder=tmp_path, environment=os.environ, keeper="superlink")
    watch = _Watch(consortium, files, kept, only="superlink")
    files.certified.certificate.unlink()
    (consortium.places.authority / KEY_FILE).rename(tmp_path / "away")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            watch.look()
    assert caplog.text.count("ca.key") == 1


def test_a_change_in_force_waits_for_no_certificate(consortium: Consortium, tmp_path: Path) -> None:
    (consortium.places.authority / KEY_FILE).rename(tmp_path / "away")
    certify_servers(consortium.places, consortium.settings)
    assert "version 2" in run("renew").out
