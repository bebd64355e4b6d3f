"""The program's rim: an exit code, two lines or one object, and never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fedcredit
from fedcredit import __main__ as program
from fedcredit.errors import BudgetSpent, CheckpointError, ConfigError, FedCreditError

Captured = pytest.CaptureFixture[str]
KEYS = ["error", "where", "found", "expected", "hint", "code"]


def leave(*words: str) -> int:
    """The code that the program leaves with."""
    try:
        program.main(list(words))
    except SystemExit as left:
        return int(left.code or 0)
    return 0


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "loans.csv"
    path.write_text("id,bad,debt\na,0,1\nb,1,2\nc,0,n/a\n")
    return path


def test_a_clean_command_leaves_with_0_and_prints_on_stdout(capsys: Captured) -> None:
    assert leave("study", "list", "--json") == 0
    said = capsys.readouterr()
    assert "quickstart" in json.loads(said.out)
    assert said.err == ""


def test_a_fault_in_a_table_is_two_lines_on_stderr_and_leaves_with_1(capsys: Captured, table: Path) -> None:
    assert leave("data", "check", str(table), "--label", "bad", "--company", "id") == 1
    said = capsys.readouterr()
    assert said.out == ""
    first, second = said.err.splitlines()
    assert first == "error: loans.csv, column 'debt', row 4: found 'n/a', expected a number"
    assert second.startswith("hint: ")


def test_a_misspelt_setting_leaves_with_2(capsys: Captured) -> None:
    assert leave("study", "show", "quickstart", "+recipe.rouns=3") == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert "rouns" in error
    assert hint == "hint: did you mean 'rounds'?"


def test_a_missing_argument_and_an_unknown_command_leave_with_2(capsys: Captured) -> None:
    assert leave("study", "run") == 2
    assert leave("stduy") == 2
    assert leave("study", "list", "--jsn") == 2
    assert "Traceback" not in capsys.readouterr().err


def test_epsilon_zero_is_refused_before_anything_runs(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert leave("study", "run", "quickstart", "privacy.epsilons=[0]") == 2
    assert "privacy.epsilons: found 0.0, expected above 0" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_trap_column_leaves_with_3_and_the_measured_reason(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["study", "run", "quickstart", "data=sba", "data.columns=[ChgOffPrinGr,Term]", "--json"]
    assert leave(*words) == 3
    said = json.loads(capsys.readouterr().out)
    assert said["code"] == "trap"
    assert "ChgOffPrinGr" in said["where"] + said["found"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["study", "run", "nosuch"], "config"),
        (["study", "run", "nosuch", "--bad"], "usage"),
        (["study", "resume", "nowhere"], "run"),
        (["study", "status", "nowhere"], "run"),
        (["study", "gain", "nowhere"], "run"),
        (["data", "fetch", "nosuch"], "dataset"),
        (["model", "show", "nowhere"], "model"),
    ],
)
def test_under_json_every_error_is_one_object_of_six_keys(words: list[str], code: str, capsys: Captured) -> None:
    assert leave(*words, "--json") in (1, 2)
    said = capsys.readouterr()
    assert list(json.loads(said.out)) == KEYS
    assert json.loads(said.out)["code"] == code
    assert said.err == ""


@pytest.mark.parametrize(
    ("raised", "code", "lines"),
    [
        (BudgetSpent("bank-0", found="3.2", expected="at most 3", hint="ask for less"), 3, 2),
        (ConfigError("a", found="b", expected="c"), 2, 1),
        (CheckpointError("a", found="b", expected="c", hint="d"), 1, 2),
    ],
)
def test_each_error_leaves_with_its_own_code(
    raised: FedCreditError, code: int, lines: int, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise raised

    monkeypatch.setattr("fedcredit.config.load", fail)
    assert leave("study", "show", "quickstart") == code
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_ctrl_c_leaves_with_1_and_one_word(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fedcredit.config.load", interrupt)
    assert leave("study", "show", "quickstart") == 1
    assert capsys.readouterr().err.split() == ["stopped"]


def test_an_oserror_is_two_lines_and_leaves_with_1(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*arguments: Any) -> None:
        raise OSError(28, "No space left on device", "runs/a")

    monkeypatch.setattr("fedcredit.config.load", fill)
    assert leave("study", "show", "quickstart") == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: runs/a: found no space left on device"
    assert second.startswith("hint: ")
    assert leave("study", "show", "quickstart", "--json") == 1
    assert list(json.loads(capsys.readouterr().out)) == KEYS


@pytest.mark.parametrize("engine", ["inprocess", "ray"])
def test_an_engine_is_chosen_in_one_word(engine: str, capsys: Captured) -> None:
    assert leave("study", "show", "quickstart", f"engine={engine}", "--json") == 0
    assert json.loads(capsys.readouterr().out)["federation"]["engine"] == engine


def test_the_package_turns_telemetry_off_and_keeps_what_is_set() -> None:
    code = (
        "import os, sys, fedcredit\n"
        "print(*(os.environ[name] for name in fedcredit.ENVIRONMENT), 'numpy' in sys.modules)"
    )
    bare = {name: value for name, value in os.environ.items() if name not in fedcredit.ENVIRONMENT}
    ran = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=bare | more).stdout
        for more in ({}, {"FLWR_TELEMETRY_ENABLED": "1"})
    ]
    assert ran == ["0 1 1 true false False\n", "1 1 1 true false False\n"]


@pytest.mark.slow
@pytest.mark.parametrize("module", ["clients.app", "server.app", "experiments.study"])
def test_flwr_is_imported_with_its_telemetry_off(module: str) -> None:
    code = f"import {module}; from flwr.supercore import telemetry; print(telemetry.FLWR_TELEMETRY_ENABLED)"
    bare = {name: value for name, value in os.environ.items() if name not in fedcredit.ENVIRONMENT}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=bare)
    assert ended.stdout == "0\n"


def test_help_names_every_group_and_imports_no_heavy_library() -> None:
    heavy = ("torch", "flwr", "opacus", "mlflow", "hydra", "pandas", "numpy", "lightgbm", "sklearn")
    code = (
        "import sys; from fedcredit.__main__ import main\n"
        "main(['--help'])\n"
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == "[]"
    assert all(group in ended.stdout for group in ("data", "model", "study"))


@pytest.mark.parametrize("words", [["--help"], ["study", "--help"], ["study", "run", "--help"], ["data", "--help"]])
def test_help_leaves_with_0(words: list[str], capsys: Captured) -> None:
    assert leave(*words) == 0
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["study"], ["data"]])
def test_a_group_without_a_command_prints_its_help_and_no_error(words: list[str], capsys: Captured) -> None:
    assert leave(*words) in (0, 2)
    said = capsys.readouterr()
    assert "Usage" in said.out + said.err
    assert "error:" not in said.err
