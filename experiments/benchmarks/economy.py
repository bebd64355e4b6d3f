"""A synthetic economy becomes three AUCs: of the true hazard, of a pooled LSTM, and of one in a null world."""

from __future__ import annotations

import copy
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from experiments.hub_table import make_hub
from fedcredit.data.features import make_windows
from fedcredit.data.schema import read_schema
from fedcredit.data.tables import read_table
from fedcredit.data.windows import Windows
from fedcredit.data.worlds.settings import WorldSettings
from fedcredit.evaluation.metrics import auc
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.train import LocalSettings, evaluate, fit
from fedcredit.settings import HubSettings

LSTM = ModelSettings("lstm", hidden=32)
EPOCH = LocalSettings("adam", lr=2e-3, batch_size=256, weight_decay=1e-4, epochs=1)
EPOCHS = 20
LENGTH = 12
THREADS = 2


def economy_aucs(folder: Path, *, companies: int, seed: int = 101) -> dict[str, float]:
    """Test AUC of a pooled LSTM on the 28 indicators, and of the truth's hazard on the same companies."""
    settings = HubSettings(economy=WorldSettings(companies=companies, seed=seed))
    rows = windows_of(settings, folder)
    train, validation, test = (rows.part(split) for split in ("train", "validation", "test"))
    p = evaluate(trained(train, validation), torch.from_numpy(test.x))
    hazard = hazard_of(folder, test.company, as_of=date.fromisoformat(settings.as_of))
    return {
        "economy_auc_bayes": round(float(auc(test.y, hazard)), 4),
        "economy_auc_model": round(float(auc(test.y, p)), 4),
        "economy_defaults": int(rows.y.sum()),
    }


def null_auc(folder: Path, *, companies: int, seed: int = 102) -> dict[str, float]:
    """AUC of the LSTM where nothing can be known: each half of the companies is scored by the other half's model."""
    rows = windows_of(HubSettings(economy=WorldSettings(companies=companies, seed=seed, world="null")), folder)
    half = np.random.default_rng(seed).random(len(rows)) < 0.5
    p = np.empty(len(rows))
    for scored in (half, ~half):
        others = rows.take(~scored)
        stop = np.arange(len(others)) % 5 == 0  # a fifth of the other half says when to stop
        p[scored] = evaluate(trained(others.take(~stop), others.take(stop)), torch.from_numpy(rows.x[scored]))
    return {"null_world_auc": round(float(auc(rows.y, p)), 4), "null_world_defaults": int(rows.y.sum())}


def windows_of(settings: HubSettings, folder: Path) -> Windows:
    """The economy of the settings, made in `folder`, as one pooled set of windows; a company counts once."""
    made = make_hub(settings, folder)
    table = read_table(made / "data.parquet", read_schema(made / "table.json"), allow_gaps=True)
    return make_windows(table, length=LENGTH)


def trained(train: Windows, validation: Windows) -> torch.nn.Module:
    """The LSTM after the epoch that is best on the validation rows."""
    torch.set_num_threads(THREADS)
    model = build(LSTM, features=train.features, time=LENGTH, seed=0)
    x, y = torch.from_numpy(train.x), torch.from_numpy(train.y)
    best, kept = -1.0, copy.deepcopy(model.state_dict())
    for epoch in range(EPOCHS):
        fit(model, x, y, settings=EPOCH, generator=torch.Generator().manual_seed(epoch))
        found = float(auc(validation.y, evaluate(model, torch.from_numpy(validation.x))))
        if found > best:
            best, kept = found, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return model


def hazard_of(folder: Path, companies: NDArray[np.str_], *, as_of: date) -> NDArray[np.float64]:
    """The truth's hazard of these companies at a month's end."""
    wanted = [("month", "=", as_of)]
    truth = pq.read_table(folder / "truth" / "hazard.parquet", columns=["company", "hazard"], filters=wanted)
    known = dict(zip(truth["company"].to_pylist(), truth["hazard"].to_pylist(), strict=True))
    return np.asarray([known[company] for company in companies.tolist()])
