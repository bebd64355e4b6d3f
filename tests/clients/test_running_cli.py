"""`fedcredit node start` says what it does while it does it, and where to look when nothing comes of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from clients import running_cli
from clients.running_cli import start_node
from fedcredit.errors import NodeError


def test_start_says_that_it_waits_and_for_what_and_gives_up_when_the_process_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running_cli.sys, "executable", shutil.which("false"))
    with pytest.raises(NodeError, match="one that ended"):
        start_node(tmp_path)
    said = capsys.readouterr()
    assert said.out == ""
    assert f"starting the node of {tmp_path.name}" in said.err
    assert str(tmp_path / "run" / "node.log") in said.err
    assert "waiting until the platform has let it in" in said.err
