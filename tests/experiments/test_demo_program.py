"""A walk as a program: its folder goes unless it was named, a refusal is printed, a dry run does nothing."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.decision.__main__ import main
from experiments.demo.program import conduct, options, tell
from fedcredit.errors import PolicyRefused
from server.cli import model


@pytest.fixture(autouse=True)
def _same_handler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """SIGTERM as it was, and a folder for temporary files of its own."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield
    signal.signal(signal.SIGTERM, before)


def walked(folder: Path) -> dict[str, Any]:
    (folder / "kept").write_text("x")
    tell("walking")
    return {"at": str(folder)}


def refused(folder: Path) -> dict[str, Any]:
    raise PolicyRefused("gate", found="no", expected="yes")


def test_result_is_on_stdout_and_the_story_on_stderr(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = options("p", about="").parse_args(["--json", "--folder", str(tmp_path / "new" / "one")])
    conduct(said, walked, text=lambda told: "")
    out, err = capsys.readouterr()
    assert json.loads(out) == {"at": str(tmp_path / "new" / "one")}
    assert err == "walking\n"
    assert (tmp_path / "new" / "one" / "kept").exists()


def test_folder_that_nobody_named_goes_also_after_a_refusal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    conduct(options("p", about="").parse_args([]), walked, text=lambda told: told["at"])
    assert capsys.readouterr().out.startswith(str(tmp_path))
    with pytest.raises(SystemExit) as left:
        conduct(options("p", about="").parse_args([]), refused, text=str)
    assert left.value.code == 3
    assert list(tmp_path.iterdir()) == []
    out, err = capsys.readouterr()
    assert (out, err.splitlines()[0]) == ("", "error: gate: found no, expected yes")


def test_refusal_under_json_is_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        conduct(options("p", about="").parse_args(["--json"]), refused, text=str)
    assert json.loads(capsys.readouterr().out)["code"] == "refused"


def test_dry_run_of_the_model_demo_tells_the_commands_and_makes_no_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["demo", "--dry-run", "--json", "--folder", str(tmp_path / "one")])
    main()
    told = json.loads(capsys.readouterr().out)
    assert list(tmp_path.iterdir()) == []
    assert (told["dry_run"], told["is_kept"], told["writes"]) == (True, True, [str(tmp_path / "one")])
    commands = [one for step in told["computes"] for one in step["commands"]]
    assert commands[:3] == ["study run", "model calibrate", "model validate"]
    monkeypatch.setattr(sys, "argv", ["demo", "--dry-run"])
    main()
    text = capsys.readouterr().out
    assert "nothing of yours" in text
    assert "removed at the end" in text
    assert list(tmp_path.iterdir()) == []


def test_every_command_of_the_plan_exists(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.main import get_command

    monkeypatch.setattr(sys, "argv", ["demo", "--dry-run", "--json"])
    main()
    commands = [one for step in json.loads(capsys.readouterr().out)["computes"] for one in step["commands"]]
    known = set(getattr(get_command(model), "commands", {}))
    assert {one.split()[1] for one in commands if one.startswith("model ")} <= known
