"""Operators: keys stay on their machine, the answer is verified there, and revoked means out."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedcredit.errors import ConfigError
from fedcredit.link.authority import certificate_sha256
from fedcredit.trust.envelope import SealBroken
from fedcredit.trust.fingerprint import FingerprintRefused
from fedcredit.trust.joining import JoinRefused
from server.consortium.clash import Clash
from server.consortium.home import Consortium
from server.consortium.operator import profile, profiles, profiles_folder
from tests.server.consortium.conftest import run


@pytest.fixture
def request_file(kept: Consortium, tmp_path: Path) -> Path:
    """A request that was made on this machine."""
    path = tmp_path / "desk.fcreq"
    run("operator", "request", "desk", "--out", path)
    return path


def fingerprint(kept: Consortium) -> str:
    return kept.current().root_fingerprint[:32]


def test_operator_asks_is_let_in_and_keeps_a_profile(kept: Consortium, request_file: Path) -> None:
    run("operator", "approve", request_file)
    run("operator", "join", request_file.with_suffix(".fcjoin"), "--fingerprint", fingerprint(kept))
    mine = profile("pearl")
    assert profile() == mine == profiles()[0]
    assert mine.facts.gateway == "gateway.example:443"
    assert mine.folder == profiles_folder() / "pearl"
    names = {path.name for path in mine.folder.iterdir()}
    assert {"tls.key", "tls.crt", "ca.crt", "manifest.json", "operator.json"} <= names
    assert (mine.folder / "tls.key").stat().st_mode & 0o077 == 0
    (operator,) = kept.current().active_operators
    assert operator.certificate == certificate_sha256((mine.folder / "tls.crt").read_text())
    assert not list((profiles_folder() / ".requests").iterdir())


def test_second_request_before_the_answer_has_the_same_keys(kept: Consortium, request_file: Path) -> None:
    first = request_file.with_name("first.fcreq")
    request_file.rename(first)
    run("operator", "request", "desk", "--out", request_file)
    run("operator", "approve", first)
    run("operator", "join", first.with_suffix(".fcjoin"), "--fingerprint", fingerprint(kept))
    assert profile().facts.name == "desk"


def test_answer_is_refused_under_another_fingerprint_or_on_another_machine(
    kept: Consortium, request_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("operator", "approve", request_file)
    answer = request_file.with_suffix(".fcjoin")
    with pytest.raises(FingerprintRefused):
        run("operator", "join", answer, "--fingerprint", "0" * 32)
    right = fingerprint(kept)
    monkeypatch.setenv("FEDCREDIT_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(JoinRefused, match="no key of desk"):
        run("operator", "join", answer, "--fingerprint", right)
    with pytest.raises(ConfigError, match="operator request"):
        profile()


def test_operators_request_does_not_make_a_member(kept: Consortium, request_file: Path) -> None:
    with pytest.raises(SealBroken):
        run("approve", request_file)
    assert kept.current().version == 1


def test_operator_is_renewed_and_revoked(kept: Consortium, request_file: Path, tmp_path: Path) -> None:
    run("operator", "approve", request_file)
    run("operator", "join", request_file.with_suffix(".fcjoin"), "--fingerprint", fingerprint(kept))
    first = (profile().folder / "tls.crt").read_text()
    run("operator", "request", "desk", "--out", request_file)
    with pytest.raises(Clash, match="called already"):
        run("operator", "approve", request_file)
    run("operator", "approve", "--renew", request_file)
    run("operator", "join", request_file.with_suffix(".fcjoin"), "--fingerprint", fingerprint(kept))
    assert (profile().folder / "tls.crt").read_text() != first
    assert [one.status for one in kept.current().operators] == ["revoked", "active"]
    run("revoke", "desk")
    assert kept.current().active_operators == ()
    with pytest.raises(Clash, match="no active desk"):
        run("operator", "approve", "--renew", request_file)


def test_help_of_every_command_loads_neither_torch_nor_flwr() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from typer.testing import CliRunner; from server.consortium_cli import consortium;"
        "[CliRunner().invoke(consortium, [*w, '--help']) for w in ([], ['init'], ['approve'], ['rotate', 'member'])];"
        "print(sorted({'torch', 'flwr', 'mlflow', 'cryptography'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
