"""An experiment's configuration becomes one federated model and its scores, with the test split's outcomes apart."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.rows import rows_of, table_of
from experiments.study import load
from experiments.training import train
from experiments.units import Unit
from experiments.workplace import Workplace


@dataclass(frozen=True)
class Scored:
    """Raw scores of the validation companies with their outcomes, and of the test companies without.

    `train_rate` is of the `train_companies` that the model learnt from. `test_outcomes` is what a calibration must not
    look at before it is fixed.
    """

    company: NDArray[np.str_]
    p: NDArray[np.float64]
    y: NDArray[np.int64]
    test_p: NDArray[np.float64]
    test_outcomes: NDArray[np.int64]
    train_companies: int
    train_rate: float


def scored(experiment: str, *, method: str, seed: int = 0, overrides: Sequence[str] = ()) -> Scored:
    """The first federated model of the experiment, without privacy, trained as its study trains it."""
    settings = load(experiment, ["evaluation.splits=[validation,test]", *overrides])
    table = table_of(settings.data)
    windows = rows_of(settings, table)
    label = table.schema.label.definition
    with tempfile.TemporaryDirectory() as folder:
        place = Workplace.build(Path(folder) / "work", windows, label_definition=label)
        unit = Unit("federated", method, "", "", None, seed)
        trained = train(unit, settings, place, folder=Path(folder) / "unit", on_round=lambda record: None)
    rows = trained.predictions
    held, test = (rows[rows["split"] == split] for split in ("validation", "test"))
    return Scored(
        held["company"].to_numpy(np.str_),
        held["p"].to_numpy(np.float64),
        held["y"].to_numpy(np.int64),
        test["p"].to_numpy(np.float64),
        test["y"].to_numpy(np.int64),
        len(windows.part("train")),
        float(windows.part("train").y.mean()),
    )
