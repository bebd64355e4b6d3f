"""The facts that an institution's operator set become its rows and its folder for what must survive a restart."""

from __future__ import annotations

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
from fedcredit.errors import ConfigError

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
    """Who this node is: its name, its rows by split, and a folder of its own for state."""

    name: str
    label_definition: str
    schema_sha256: str
    features: tuple[str, ...]
    train: Rows
    validation: Rows
    state: Path

    @property
    def companies(self) -> int:
        """How many companies the institution trains on."""
        return len(np.unique(self.train.company))

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
    return _read(*(str(facts[key]) for key in ("institution", "windows", "state", "label-definition")))


@lru_cache(maxsize=64)
def _read(name: str, path: str, state: str, label_definition: str) -> Institution:
    windows = load(Path(path))
    train, validation = _rows(windows, "train"), _rows(windows, "validation")
    return Institution(name, label_definition, windows.schema_sha256, windows.features, train, validation, Path(state))


def _rows(windows: Windows, split: str) -> Rows:
    part = windows.part(split)
    return Rows(torch.from_numpy(part.x.copy()), torch.from_numpy(part.y.copy()), part.company)
