"""The facts that an institution's operator set become its rows and its folder for what must survive a restart."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from flwr.app import Context
from numpy.typing import NDArray
from torch import Tensor

from fedcredit.data.windows import Windows, load
from fedcredit.errors import ConfigError, PolicyRefused
from fedcredit.federation.messages import Task

# Flower's simulation gives a node nothing but its number; the file named here holds the node_config of each.
NODES_FILE = "FEDCREDIT_NODES"


@dataclass(frozen=True)
class Rows:
    """One split of the institution's windows, as tensors; `company` names the unit of privacy of each row."""

    x: Tensor
    y: Tensor
    company: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Institution:
    """Who this node is: its name, its rows by split, and a folder of its own for state.

    The operator may allow exact metrics under privacy, and a run to spend more than its plan after a crash; both are
    for public and synthetic rows.
    """

    name: str
    label_definition: str
    schema_sha256: str
    features: tuple[str, ...]
    train: Rows
    validation: Rows
    state: Path
    allows_exact_metrics: bool = False
    allows_overspending: bool = False

    @property
    def companies(self) -> int:
        """How many companies the institution trains on."""
        return len(np.unique(self.train.company))

    def bind(self, task: Task) -> None:
        """Tie the run's name to its first task: a later one under the same name could ask without privacy.

        Raises:
            PolicyRefused: the run was begun with another task.
        """
        digest = hashlib.sha256(task.to_json().encode()).hexdigest()
        path = self.folder(task.run) / "task.sha256"
        if not path.exists():
            draft = path.with_suffix(".draft")
            draft.write_text(digest)
            draft.replace(path)
        elif path.read_text() != digest:
            raise PolicyRefused("task", found="another task under the name of this run", expected="the first one")

    def folder(self, run: str) -> Path:
        """The state folder of one run, made on first use."""
        if not run.replace("-", "").replace("_", "").replace(".", "").isalnum() or run.startswith("."):
            raise ConfigError("task.run", found="a name with other characters", expected="letters, digits, - _ .")
        path = self.state / run
        path.mkdir(parents=True, exist_ok=True)
        return path


def institution_of(context: Context) -> Institution:
    """The institution that this node's own configuration describes; read once a process.

    Raises:
        ConfigError: the operator's configuration lacks a key.
        TableError: the table cannot be read.
    """
    facts = dict(context.node_config)
    if "institution" not in facts and NODES_FILE in os.environ:
        facts = json.loads(Path(os.environ[NODES_FILE]).read_text())[int(facts["partition-id"])]
    missing = [key for key in ("institution", "windows", "state", "label-definition") if key not in facts]
    if missing:
        raise ConfigError("node_config", found=f"no {', '.join(missing)}", expected="the facts of this institution")
    texts = (str(facts[key]) for key in ("institution", "windows", "state", "label-definition"))
    return _read(*texts, facts.get("exact-metrics") is True, facts.get("overspending") is True)


@lru_cache(maxsize=64)
def _read(
    name: str, path: str, state: str, label_definition: str, exact_metrics: bool, overspending: bool
) -> Institution:
    windows = load(Path(path))
    train, validation = _rows(windows, "train"), _rows(windows, "validation")
    digest, features = windows.schema_sha256, windows.features
    home = Path(state)
    return Institution(name, label_definition, digest, features, train, validation, home, exact_metrics, overspending)


def _rows(windows: Windows, split: str) -> Rows:
    part = windows.part(split)
    return Rows(torch.from_numpy(part.x.copy()), torch.from_numpy(part.y.copy()), part.company)
