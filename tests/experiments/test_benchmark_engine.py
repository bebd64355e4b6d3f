"""The benchmark's plain loop is a fair peer, and its figures are the ones that the issue asks for."""

from __future__ import annotations

import json
import os

import pytest
import torch

from experiments.benchmarks.engine import SEED, Stopwatch, in_turns, main, plain_model, plain_rounds
from fedcredit.data.datasets import locate
from fedcredit.errors import FedCreditError
from fedcredit.models.build import ModelSettings, build


def test_a_round_of_the_plain_loop_is_the_mean_of_the_clients_by_their_rows() -> None:
    model = torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    ones, nothing = torch.ones(3, 1), torch.zeros(1, 1)
    next(plain_rounds(model, [(ones, torch.ones(3)), (nothing, torch.ones(1))], lr=1.0, batch=4))
    # One step of logistic regression from zero: the gradient is -x/2, so the clients end at weights .5 and 0.
    assert model.weight.item() == pytest.approx(0.75 * 0.5)
    assert model.bias.item() == pytest.approx(0.5)


def test_the_ratio_is_that_of_medians_over_all_repeats() -> None:
    one = Stopwatch(iter(()), [1.0, 9.0], [1.0, 8.0], [1.5, 9.0])
    two = Stopwatch(iter(()), [2.0, 2.0], [3.0, 3.0], [4.0, 4.0])
    found = in_turns([one, two], [])
    assert found["round_seconds"] == {
        "plain_loop": 2.0,
        "inprocess": 3.0,
        "ray": None,
        "inprocess_with_checkpoint": 4.0,
    }
    assert found["ratio"]["inprocess"] == 1.5


def test_the_command_prints_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        locate("default_credit_homo", "default_credit_homo_test.csv")
    except FedCreditError:
        if os.environ.get("FEDCREDIT_CI") == "1":
            raise
        pytest.skip("the public files of default_credit are not here")
    main(["--json", "--rounds", "1", "--repeats", "1", "--no-ray"])
    found = json.loads(capsys.readouterr().out)
    assert {"start_seconds", "round_seconds", "clients", "auc_1_rounds", "machine", "commit", "repeats"} <= found.keys()
    assert found["clients"] == 10
    assert found["torch_threads"] == 1
    # The same job from the same start: after a round both models rank the test clients alike.
    assert found["auc_1_rounds"] == pytest.approx(found["auc_1_rounds_plain_loop"], abs=0.005)


def test_plain_model_starts_where_the_federation_does() -> None:
    settings = ModelSettings("mlp", hidden=64, second_hidden=32)
    ours, plain = build(settings, features=[f"x{number}" for number in range(23)], time=1, seed=SEED), plain_model(23)
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
