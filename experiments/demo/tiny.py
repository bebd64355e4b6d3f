"""Tiny institutions and a tiny model, for what is about messages and not about learning."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from fedcredit.data.windows import Windows
from fedcredit.federation.engine import RoundPlan
from fedcredit.federation.messages import Masking, Task
from fedcredit.models.build import ModelSettings
from fedcredit.models.train import LocalSettings
from server.orders import DeployedOrder

FEATURES, PERIODS, COMPANIES = ("debt", "cash", "growth"), 3, 120
STUDY = "trial"
LIMIT = 16.0  # of a masked update


def tiny_windows(institution: str) -> Windows:
    """Synthetic companies whose default depends on debt and cash; a third of them validation."""
    rng = np.random.default_rng(list(institution.encode()))
    x = rng.normal(size=(COMPANIES, PERIODS, len(FEATURES))).astype(np.float32)
    y = (x[:, :, 0].sum(1) - x[:, :, 1].sum(1) + rng.normal(size=COMPANIES) > 1.0).astype(np.float32)
    return Windows(
        x=x,
        y=y,
        company=np.array([f"{institution}-{number}" for number in range(COMPANIES)]),
        institution=np.full(COMPANIES, institution),
        split=np.array(["train", "train", "validation"] * COMPANIES)[:COMPANIES],
        features=FEATURES,
        about=pd.DataFrame(index=range(COMPANIES)),
        schema_sha256="0" * 64,
    )


def tiny_order(names: Sequence[str], *, rounds: int, masked: bool = False, **task: Any) -> DeployedOrder:
    """Train an MLP of 4,865 weights at these institutions and evaluate it, in the open or under masks."""
    run = f"run-{secrets.token_hex(4)}"
    asked = Task(
        run=run,
        model=ModelSettings("mlp", hidden=64),
        features=FEATURES,
        time=PERIODS,
        seed=5,
        local=LocalSettings("sgd", lr=0.1, batch_size=32),
        study=STUDY,
    )
    if masked:
        asked = replace(asked, masking=Masking((tuple(sorted(names)),), LIMIT))
    plan = RoundPlan(rounds=rounds, quorum=len(names), deadline_seconds=120.0, wait_seconds=120.0, poll_seconds=0.1)
    strategy = {"_target_": "flwr.serverapp.strategy.FedAvg"}
    return DeployedOrder(STUDY, run, "unit", replace(asked, **task), plan, strategy)
