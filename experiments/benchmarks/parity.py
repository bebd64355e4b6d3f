"""One seed without noise becomes the same model in one process, on Ray and over a SuperLink, bit by bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from clients.app import app
from clients.institution import NODES_FILE
from experiments.demo.found import found, give_rows, home_in, widen_policies
from experiments.demo.run import running
from experiments.demo.tiny import STUDY, tiny_order, tiny_windows
from fedcredit.data.windows import join, save
from fedcredit.federation.checkpoint import Arrays
from fedcredit.federation.grid import InProcessGrid
from server.app import Order, conduct
from server.consortium.operator import profile
from server.remote import conduct_on_consortium

NAMES = ("bank-a", "bank-b", "bank-c")
ROUNDS = 3


def aggregates_agree() -> bool:
    """Whether the three engines give equal bits for an MLP after three rounds."""
    with tempfile.TemporaryDirectory(prefix="fedcredit-") as name:
        folder = Path(name)
        configs = node_configs(folder)
        (folder / "nodes.json").write_text(json.dumps(configs))
        here = conduct(InProcessGrid(app, configs), order_of("here")).state.arrays
        words = [sys.executable, "-m", "experiments.benchmarks.parity", str(folder / "ray.safetensors")]
        environment = {**os.environ, NODES_FILE: str(folder / "nodes.json"), "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
        subprocess.run(words, check=True, env=environment, capture_output=True)
        ray = load_file(folder / "ray.safetensors")
        there = over_superlink(folder / "consortium")
    return all(np.array_equal(here[key], ray[key]) and np.array_equal(here[key], there[key]) for key in here)


def node_configs(folder: Path) -> list[dict[str, str | bool]]:
    """The institutions as one machine simulates them."""
    configs: list[dict[str, str | bool]] = []
    for name in NAMES:
        save(tiny_windows(name), folder / f"{name}.npz")
        facts: dict[str, str | bool] = {"institution": name, "windows": str(folder / f"{name}.npz")}
        configs.append({**facts, "state": str(folder / name), "label-definition": "90 dpd", "open-rows": True})
    return configs


def order_of(run: str) -> Order:
    """The order for an engine of this machine."""
    deployed = tiny_order(NAMES, rounds=ROUNDS)
    return Order(replace(deployed.task, run=run), deployed.plan, deployed.strategy)


def over_superlink(folder: Path) -> Arrays:
    """The model of a running consortium."""
    folder.mkdir()
    with home_in(folder):
        founded = found(folder, NAMES, study=STUDY)
        give_rows(founded, join([tiny_windows(name) for name in NAMES]), label_definition="90 dpd")
        widen_policies(founded, studies=f"[{STUDY}]")
        with running(founded):
            return conduct_on_consortium(tiny_order(NAMES, rounds=ROUNDS), profile("demo")).state.arrays


def main() -> None:
    """On Ray, in a process of its own, since Ray leaves children behind: the arrays go to the file that is named."""
    from server.simulation import conduct_on_ray

    done = conduct_on_ray(order_of("ray"), app, nodes=len(NAMES))
    save_file(dict(done.state.arrays), Path(sys.argv[1]))


if __name__ == "__main__":
    main()
