"""From nothing to a node that may start: the platform's commands and the institution's, one after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Message, RecordDict
from typer.testing import CliRunner

from clients.app import app
from clients.facts import read_facts
from clients.home import NodeHome
from fedcredit.data.windows import load
from fedcredit.federation.grid import InProcessGrid
from fedcredit.federation.messages import CONFIG, DESCRIBE, Task
from fedcredit.link import caddy
from fedcredit.link.authority import Authority, new_key_and_csr
from fedcredit.models.build import ModelSettings
from fedcredit.trust.manifest import ManifestFile
from server.consortium_cli import consortium
from server.gateway import Passes, Place, gateway_config
from tests.clients.platform import NOW
from tests.clients.test_joining import Bank, secrets_of
from tests.ports import free_port

NAME = "harbour-bank"


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    (tmp_path / "desk").mkdir()
    return Bank(NodeHome(tmp_path / "node"), tmp_path / "desk", name=NAME)


def platform(home: Path, *words: object) -> dict[str, Any]:
    """What the platform's command says."""
    done = CliRunner().invoke(consortium, [*map(str, words), "--home", str(home), "--json"])
    if done.exception:
        raise done.exception
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@contextmanager
def gateway(home: Path, address: str) -> Iterator[None]:
    """The consortium's gateway with its manifest in force, and no SuperLink behind it."""
    folder = home / "run" / "gateway"
    folder.mkdir(parents=True)
    csr = new_key_and_csr(folder / "server.key", name="gateway")
    authority = Authority.load(home / "authority")
    leaf = authority.issue(csr, role="server", name="gateway", days=30, hosts=["127.0.0.1"])
    (folder / "server.crt").write_text(leaf)
    place = Place(
        listen=address,
        server_name="127.0.0.1",
        certificate=folder / "server.crt",
        key=folder / "server.key",
        superlink="127.0.0.1:1",
        manifest=home / "manifest.json",
        studies=home,
        metrics_port=free_port(),
    )
    manifest = ManifestFile(home / "manifest.json").read(now=NOW)
    running = caddy.start(gateway_config(Passes.of(manifest), place), folder=folder / "caddy")
    try:
        yield
    finally:
        running.stop(wait=2.0)


@pytest.mark.slow
def test_request_approve_join_check_and_no_key_travels(bank: Bank, tmp_path: Path) -> None:
    home, address = tmp_path / "consortium", f"127.0.0.1:{free_port()}"
    platform(home, "init", "pearl-river", "--gateway", address, "--officers", "li,wang", "--threshold", 2)
    request = bank.request()
    (tmp_path / "x.fcreq").write_bytes(request)
    heard = json.loads(bank.run("request", NAME, "--home", bank.home.folder, "--json").stdout)["fingerprint"]
    platform(home, "approve", tmp_path / "x.fcreq", "--fingerprint", heard[:16], "--out", tmp_path / "x.fcjoin")
    answer = (tmp_path / "x.fcjoin").read_bytes()
    assert bank.join(answer, platform(home, "members")["fingerprint"][:16]).exit_code == 0

    assert bank.run("data", "--synthetic", 1, "--home", bank.home.folder).exit_code == 0
    with gateway(home, address):
        done = bank.run("check", "--home", bank.home.folder)
    assert done.exit_code == 0, done.stdout
    assert "X25519MLKEM768" in done.stdout

    for secret in secrets_of(bank.home):
        assert secret not in request
        assert secret not in answer
        assert not any(secret in path.read_bytes() for path in home.rglob("*") if path.is_file())


@pytest.mark.slow
def test_what_joining_wrote_is_what_the_program_of_the_node_runs_on(bank: Bank, tmp_path: Path) -> None:
    home = tmp_path / "consortium"
    platform(home, "init", "pearl-river", "--gateway", "127.0.0.1:9", "--officers", "li", "--threshold", 1)
    (tmp_path / "x.fcreq").write_bytes(bank.request())
    platform(home, "approve", tmp_path / "x.fcreq", "--out", tmp_path / "x.fcjoin")
    bank.join((tmp_path / "x.fcjoin").read_bytes(), platform(home, "members")["fingerprint"])
    bank.run("data", "--synthetic", 2, "--home", bank.home.folder)

    config = read_facts(bank.home).node_config(bank.home)
    features = load(bank.home.windows).features
    task = Task(run="r", model=ModelSettings("logistic"), features=features, time=12, seed=0, study="unknown")
    content = RecordDict({CONFIG: task.as_config()})
    (reply,) = InProcessGrid(app, [config]).send_and_receive([Message(content, 1, DESCRIBE)])
    assert reply.error.reason == "study", "the manifest names no such study"
    log = [json.loads(line) for line in bank.home.audit_log.read_text().splitlines()]
    assert [entry["event"] for entry in log] == ["begun", "policy", "refused"], "under which policy is told first"
