"""The generated systemd unit is one that systemd takes, with few rights, whatever the folder is called."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from clients.unit import unit_text

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here")
LARGEST_EXPOSURE = 4.0


def written(folder: Path, *, institution: str = "bank-a") -> Path:
    folder.mkdir()
    path = folder / "fedcredit-node.service"
    path.write_text(unit_text(folder, institution=institution))
    return path


@needs_systemd
@pytest.mark.parametrize("name", ["bank-a", "某银行", "a bank", 'a "bank"', "100%h", "a$HOME"])
def test_the_unit_is_one_that_systemd_takes(name: str, tmp_path: Path) -> None:
    unit = written(tmp_path / name, institution=name)
    done = subprocess.run([str(ANALYZE), "verify", unit], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_a_unit_of_another_binary_is_refused_by_the_same_check(tmp_path: Path) -> None:
    unit = written(tmp_path / "bank-a")
    unit.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/nowhere/python", unit.read_text()))
    assert subprocess.run([str(ANALYZE), "verify", unit], capture_output=True).returncode != 0


@needs_systemd
def test_the_unit_is_exposed_to_less_than_four(tmp_path: Path) -> None:
    unit = written(tmp_path / "bank-a")
    command = [str(ANALYZE), "security", "--offline=true", "--threshold=100", "--no-pager", unit]
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) < LARGEST_EXPOSURE


def test_a_name_with_an_end_of_line_sets_nothing(tmp_path: Path) -> None:
    text = unit_text(tmp_path, institution="bank\nExecStart=/bin/sh\\")
    assert [line for line in text.splitlines() if line.startswith("ExecStart=")] == [
        line for line in unit_text(tmp_path, institution="bank").splitlines() if line.startswith("ExecStart=")
    ]


def test_only_the_nodes_own_folder_can_be_written(tmp_path: Path) -> None:
    lines = unit_text(tmp_path, institution="bank-a").splitlines()
    assert [line for line in lines if line.startswith("ReadWritePaths=")] == [f"ReadWritePaths={tmp_path}"]
    wanted = {"ProtectSystem=strict", "NoNewPrivileges=yes", "PrivateTmp=yes", "Restart=always", "RestartSec=20"}
    assert wanted | {"MemoryMax=4G"} <= {*lines}
