"""Whom a guarantee is about: a company known to several institutions, or an institution as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clients.app import app
from fedcredit.errors import ConfigError, FederationError
from fedcredit.federation.grid import InProcessGrid
from fedcredit.federation.messages import PrivacyTerms
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.train import LocalSettings
from fedcredit.privacy.kernel import clipped_sum
from fedcredit.privacy.randomness import Stream
from fedcredit.privacy.units import weights
from server.app import conduct, initial_arrays
from tests.conftest import FEATURES, Nodes
from tests.federation.conftest import make_order, make_task

MakeNodes = Callable[..., Nodes]
SGD = LocalSettings("sgd", lr=0.5, steps=1)


def terms(**more: Any) -> PrivacyTerms:
    usual: dict[str, Any] = {"epsilon": 8.0, "delta": 1e-5, "clip": 1.0, "sample_rate": 1.0, "steps": 1, "rounds": 2}
    return PrivacyTerms(**{**usual, **more})


def test_a_company_at_three_institutions_moves_their_sums_by_one_clip_in_all() -> None:
    model = build(ModelSettings("logistic"), features=FEATURES, time=1, seed=0)
    x, y = torch.full((2, 1, 3), 50.0), torch.tensor([1.0, 1.0])  # gradients far longer than the clip
    company = np.array(["here-only", "at-three"])
    whole, _ = clipped_sum(
        model, x, y, company=company, clip=1.0, sample_rate=1.0, random=Stream(), weight=torch.tensor([1.0, 1 / 3])
    )
    whole = whole.clone()
    alone, _ = clipped_sum(model, x[:1], y[:1], company=company[:1], clip=1.0, sample_rate=1.0, random=Stream())
    assert float((whole - alone).norm()) == pytest.approx(1 / 3, rel=1e-4)
    assert weights([1, 3]).tolist() == [1.0, 1 / 3]


def test_the_unit_across_institutions_runs_and_needs_to_know_who_knows_whom(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = nodes(3)
    task = make_task(privacy=terms(unit="company-across-institutions"), metrics="none", local=SGD)
    with pytest.raises(FederationError, match="error-config"):
        conduct(InProcessGrid(app, banks.configs), make_order(task, rounds=2))
    for config in banks.configs:
        (tmp_path / "odd.json").write_text("[1, 2")
        config["known-to"] = str(tmp_path / "odd.json")
    with pytest.raises(FederationError, match="error-config"):
        conduct(InProcessGrid(app, banks.configs), make_order(task, rounds=2))
    for config, windows in zip(banks.configs, banks.windows, strict=True):
        path = tmp_path / f"{config['institution']}.known-to.json"
        path.write_text(json.dumps(dict.fromkeys(windows.company.tolist(), 2)))
        config["known-to"] = str(path)
    done = conduct(InProcessGrid(app, banks.configs), make_order(task, rounds=2))
    assert [len(record.institutions) for record in done.state.history] == [3, 3]
    assert 0 < done.epsilon["bank-0"] <= 8.0


def test_an_institution_as_the_unit_sends_one_clipped_and_noised_update(nodes: MakeNodes) -> None:
    banks = nodes(3)
    local = LocalSettings("sgd", lr=5.0, batch_size=32, epochs=5)
    task = make_task(privacy=terms(epsilon=20.0, clip=0.01, rounds=1, unit="institution"), metrics="none", local=local)
    done = conduct(InProcessGrid(app, banks.configs), make_order(task, rounds=1))
    moved = [done.state.arrays[name] - value for name, value in initial_arrays(task).items()]
    # Plain training would go some units away; the mean of three clipped updates goes at most .01, and a little noise.
    assert np.sqrt(sum(float((step**2).sum()) for step in moved)) < 0.03
    assert 0 < done.epsilon["bank-0"] <= 20.0


@pytest.mark.parametrize("odd", [{"steps": 2}, {"sample_rate": 0.5}, {"noise": "distributed"}])
def test_an_institution_as_the_unit_gets_no_amplification(odd: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="1 noised update a round"):
        terms(unit="institution", **odd)
