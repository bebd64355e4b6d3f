"""Ray's workers give the aggregate that one process gives."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from clients.app import app
from fedcredit.federation.grid import InProcessGrid
from server.app import conduct
from tests.conftest import Nodes
from tests.server.on_ray import order_of

MakeNodes = Callable[..., Nodes]
HOME = Path(__file__).parents[2]


def on_ray(banks: Nodes, out: Path, *, quorum: int) -> subprocess.CompletedProcess[str]:
    nodes = out.with_suffix(".json")
    nodes.write_text(json.dumps(banks.configs))
    command = [sys.executable, "-m", "tests.server.on_ray", str(nodes), str(out), str(quorum)]
    return subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False, timeout=200)


@pytest.mark.slow
def test_ray_gives_the_same_bits_as_one_process(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = nodes(3)
    alike = conduct(InProcessGrid(app, banks.configs), order_of("in-process")).state.arrays
    ended = on_ray(banks, tmp_path / "ray.safetensors", quorum=3)
    assert ended.returncode == 0, ended.stderr
    found = load_file(tmp_path / "ray.safetensors")
    assert found.keys() == alike.keys()
    for name, value in alike.items():
        assert value.tobytes() == found[name].tobytes(), name


@pytest.mark.slow
def test_a_run_on_ray_that_fails_says_why_in_our_words(nodes: MakeNodes, tmp_path: Path) -> None:
    ended = on_ray(nodes(3), tmp_path / "ray.safetensors", quorum=4)
    assert ended.returncode == 1
    assert "refused: waiting for nodes: found 3 connected, expected at least the quorum of 4" in ended.stderr
