"""`fedcredit serve score|key|token|revoke`: keys of mode 0600, tokens once, a service that comes back after a kill."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import jwt
import pytest
from typer.testing import CliRunner

from fedcredit.errors import ConfigError
from server.scoring.tokens import KEY_FILE, OLD_PUBLIC_FILE, PUBLIC_FILE
from server.serve_cli import serve
from tests.server.scoring.world import NAME, Serving


def run(*words: str) -> str:
    """The command's stdout. Raises what it raises."""
    found = CliRunner().invoke(serve, list(words), catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    told = json.loads(run("key", "--keys", str(tmp_path), "--json"))
    assert stat.S_IMODE(Path(told["key"]).stat().st_mode) == 0o600
    before = (tmp_path / KEY_FILE).read_bytes()
    with pytest.raises(ConfigError, match=r"a token\.key already"):
        run("key", "--keys", str(tmp_path))
    assert (tmp_path / KEY_FILE).read_bytes() == before
    run("key", "--keys", str(tmp_path), "--renew")
    assert (tmp_path / KEY_FILE).read_bytes() != before
    assert b"PRIVATE" not in (tmp_path / PUBLIC_FILE).read_bytes()


def test_after_a_leak_the_key_before_is_dropped(tmp_path: Path) -> None:
    keys = ("--keys", str(tmp_path))
    run("key", *keys)
    run("key", "--renew", *keys)
    assert (tmp_path / OLD_PUBLIC_FILE).exists()
    before = (tmp_path / KEY_FILE).read_bytes()
    run("key", "--drop-old", *keys)
    assert not (tmp_path / OLD_PUBLIC_FILE).exists()
    assert (tmp_path / KEY_FILE).read_bytes() == before
    run("key", "--renew", "--drop-old", *keys)
    assert not (tmp_path / OLD_PUBLIC_FILE).exists()
    assert (tmp_path / KEY_FILE).read_bytes() != before


def test_a_token_holds_name_role_number_and_end(tmp_path: Path) -> None:
    run("key", "--keys", str(tmp_path))
    told = json.loads(run("token", "--role", "ops", "--name", "li", "--days", "7", "--keys", str(tmp_path), "--json"))
    claims = jwt.decode(told["token"], options={"verify_signature": False})
    assert (claims["sub"], claims["role"], claims["jti"]) == ("li", "ops", told["jti"])
    assert claims["exp"] - claims["iat"] == 7 * 86_400
    run("revoke", told["jti"], "--keys", str(tmp_path))


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("--role", "boss", "--name", "li"), "--role"),
        (("--role", "ops", "--name", "a/b"), "--name"),
        (("--role", "ops", "--name", "li", "--days", "0"), "--days"),
        (("--role", "ops", "--name", "li", "--days", "1e9"), "--days"),
        (("--role", "ops", "--name", "li", "--certificate", "x"), "--certificate"),
    ],
)
def test_no_token_is_made_for_what_is_none(tmp_path: Path, words: tuple[str, ...], where: str) -> None:
    run("key", "--keys", str(tmp_path))
    with pytest.raises(ConfigError) as refused:
        run("token", *words, "--keys", str(tmp_path))
    assert refused.value.where == where


def test_no_token_is_signed_with_a_key_that_others_may_read(tmp_path: Path) -> None:
    run("key", "--keys", str(tmp_path))
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(ConfigError, match="a key that others may read"):
        run("token", "--role", "ops", "--name", "li", "--keys", str(tmp_path))


def test_the_service_is_on_loopback_and_of_a_model_with_a_desk(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a loopback address"):
        run("score", "--model", NAME, "--host", "0.0.0.0")  # noqa: S104 - which is refused
    with pytest.raises(ConfigError, match="no desk of"):
        run("score", "--model", NAME, "--runs", str(tmp_path))
    with pytest.raises(ConfigError, match="refuse or grade"):
        run("score", "--model", NAME, "--missing", "guess")


@pytest.mark.slow
def test_a_killed_service_answers_again_within_15_seconds(tmp_path: Path) -> None:
    serving = Serving(tmp_path)
    words = [sys.executable, "-m", "fedcredit", "serve", "score", "--model", NAME, "--runs", str(tmp_path)]

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen([*words, "--port", "0", "--json"], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        serving.port = int(json.loads(process.stdout.readline())["listening"].rpartition(":")[2])
        return process

    with start() as process:
        first = serving.score()[1]
        process.send_signal(signal.SIGKILL)
    began = time.monotonic()
    with start() as process:
        again = serving.score()[1]
        took = time.monotonic() - began
        process.terminate()
    assert process.returncode == 0
    assert took < 15
    assert again == first
