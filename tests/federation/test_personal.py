"""Personal models: the body travels, a head or a fine-tuned model stays where it was trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from flwr.app import Message
from safetensors.numpy import load_file

from clients.institution import run_folder
from fedcredit.errors import ConfigError, FederationError, TableError
from fedcredit.evaluation.grid import ScoreGrid
from fedcredit.evaluation.separation import auc_of_counts
from fedcredit.federation import personal
from fedcredit.federation.checkpoint import RoundRecord
from fedcredit.federation.grid import InProcessGrid
from fedcredit.federation.messages import SCORE_BINS, PrivacyTerms
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.train import LocalSettings, evaluate
from server.app import conduct, initial_arrays
from tests.conftest import FEATURES, Nodes
from tests.federation.conftest import make_order, make_task
from tests.federation.misbehaving import grid_of, raises

MakeNodes = Callable[..., Nodes]
LSTM = ModelSettings("lstm", hidden=4)
BODY = {"body.weight_ih_l0", "body.weight_hh_l0", "body.bias_ih_l0", "body.bias_hh_l0"}
LOCAL = LocalSettings("adam", lr=0.02, batch_size=16)
HEADS = make_task(model=LSTM, local=LOCAL, share="body")


def watched(nodes: Nodes, *, kind: str) -> tuple[InProcessGrid, list[Message]]:
    """A grid, and every message of one kind that crosses it, in both directions."""
    seen: list[Message] = []

    def watch(message: Message, reply: Message) -> Message:
        seen.extend([message, reply])
        return reply

    return grid_of(nodes, {str(config["institution"]): watch for config in nodes.configs}, kind=kind), seen


def heads_of(nodes: Nodes, run: str = "test") -> list[dict[str, np.ndarray]]:
    newest = [sorted(run_folder(Path(config["state"]), run).glob("head-*.safetensors"))[-1] for config in nodes.configs]
    return [load_file(path) for path in newest]


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_no_head_crosses_in_either_direction_and_every_institution_has_its_own(kind: str, nodes: MakeNodes) -> None:
    banks = nodes(3)
    grid, crossed = watched(banks, kind=kind)
    done = conduct(grid, make_order(HEADS, rounds=2))
    assert set(done.state.arrays) == BODY
    assert crossed
    for message in crossed:
        if "arrays" in message.content:
            assert set(message.content["arrays"]) == BODY
        assert "head." not in repr({name: record for name, record in message.content.items() if name != "arrays"})
    weights = [head["head.weight"] for head in heads_of(banks)]
    assert all(set(head) == {"head.weight", "head.bias"} for head in heads_of(banks))
    for i in range(3):
        for j in range(i):
            assert not np.array_equal(weights[i], weights[j])


def test_the_validation_of_a_round_uses_the_heads_of_that_round(nodes: MakeNodes) -> None:
    banks = nodes(3)
    done = conduct(grid_of(banks), make_order(HEADS, rounds=4))
    p, y = [], []
    for windows, head in zip(banks.windows, heads_of(banks), strict=True):
        part = windows.part("validation")
        model = build(LSTM, features=FEATURES, time=3, seed=5)
        state = {**done.state.arrays, **head}
        model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
        p.append(evaluate(model, torch.from_numpy(part.x)))
        y.append(part.y)
    by_hand = auc_of_counts(ScoreGrid(bins=SCORE_BINS).count(np.concatenate(p), np.concatenate(y)))
    assert done.state.history[-1].validation_auc == by_hand


def test_a_cut_run_with_local_heads_resumes_to_the_same_bits(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = nodes(3)
    whole = conduct(grid_of(banks), make_order(make_task(model=LSTM, local=LOCAL, share="body", run="whole"), rounds=5))

    def stop(record: RoundRecord) -> None:
        if record.round == 2:
            raise KeyboardInterrupt

    order = make_order(HEADS, rounds=5, checkpoints=tmp_path / "checkpoint")
    with pytest.raises(KeyboardInterrupt):
        conduct(grid_of(banks), order, on_round=stop)

    # Cut in the middle of round 4: bank-0 has trained and kept its head, bank-1 never answered.
    def cut(message: Message, reply: Message) -> Message:
        if message.content["config"]["server-round"] == 4:
            raise KeyboardInterrupt
        return reply

    with pytest.raises(KeyboardInterrupt):
        conduct(grid_of(banks, {"bank-1": cut}), order)
    resumed = conduct(grid_of(banks), order)
    for name, value in whole.state.arrays.items():
        assert value.tobytes() == resumed.state.arrays[name].tobytes()
    for mine, other in zip(heads_of(banks), heads_of(banks, run="whole"), strict=True):
        for name, value in mine.items():
            assert value.tobytes() == other[name].tobytes()


def test_heads_stay_home_under_privacy_too(nodes: MakeNodes) -> None:
    banks = nodes(3)
    terms = PrivacyTerms(epsilon=8.0, delta=1e-5, clip=1.0, sample_rate=0.5, steps=1, rounds=2)
    task = make_task(model=LSTM, share="body", privacy=terms, metrics="none")
    done = conduct(grid_of(banks), make_order(task, rounds=2))
    assert set(done.state.arrays) == BODY
    assert len(heads_of(banks)) == 3


def test_fine_tuning_leaves_a_model_in_each_state_folder_and_sends_nothing_of_it(nodes: MakeNodes) -> None:
    banks = nodes(3)
    task = make_task(personal=LocalSettings("sgd", lr=0.5, epochs=3), personal_mu=0.01)
    grid, crossed = watched(banks, kind="train.personalise")
    done = conduct(grid, make_order(task, rounds=2))
    replies = crossed[1::2]
    assert [dict(reply.content["metrics"]) for reply in replies] == [{"num-examples": 1}] * 3
    assert all(set(reply.content) == {"metrics"} for reply in replies)
    tuned = [load_file(run_folder(Path(config["state"]), "test") / personal.PERSONAL_FILE) for config in banks.configs]
    for one in tuned:
        assert one.keys() == done.state.arrays.keys()
        assert not np.array_equal(one["head.weight"], done.state.arrays["head.weight"])
    assert not np.array_equal(tuned[0]["head.weight"], tuned[1]["head.weight"])


def test_a_stronger_pull_keeps_the_personal_model_nearer_to_the_shared_one(nodes: MakeNodes) -> None:
    banks, distances = nodes(3), []
    for mu in (0.0, 1.0):
        task = make_task(run=f"mu-{mu}", personal=LocalSettings("sgd", lr=0.2, epochs=5), personal_mu=mu)
        done = conduct(grid_of(banks), make_order(task, rounds=1))
        own = load_file(run_folder(Path(banks.configs[0]["state"]), task.run) / personal.PERSONAL_FILE)
        distances.append(np.linalg.norm(own["head.weight"] - done.state.arrays["head.weight"]))
    assert distances[1] < 0.8 * distances[0]


def test_an_institution_that_could_not_fine_tune_is_named_and_the_rounds_are_kept(
    nodes: MakeNodes, tmp_path: Path
) -> None:
    banks, task = nodes(3), make_task(personal=LocalSettings("sgd", lr=0.1))
    order = make_order(task, rounds=2, checkpoints=tmp_path / "checkpoint")
    with pytest.raises(FederationError, match=r"train.personalise at bank-1: found no answer \(error-2\)") as caught:
        conduct(grid_of(banks, {"bank-1": raises}, kind="train.personalise"), order)
    assert "resume" in caught.value.hint
    told: list[RoundRecord] = []
    conduct(grid_of(banks), order, on_round=told.append)
    assert told == []


def test_arrays_of_another_model_are_refused() -> None:
    model = build(ModelSettings("logistic"), features=FEATURES, time=3, seed=5)
    arrays = dict(initial_arrays(make_task()))
    for wrong in ({}, {**arrays, "extra": np.zeros(1)}, {**arrays, "head.bias": np.zeros(2, np.float32)}):
        with pytest.raises(TableError, match="other names or shapes"):
            personal.load_shared(model, wrong, share="all")


def test_a_model_that_is_all_head_cannot_share_its_body() -> None:
    with pytest.raises(ConfigError, match=r"task\.share") as caught:
        make_task(share="body", model=ModelSettings("logistic"))
    assert "nothing would travel" in caught.value.hint


def test_a_body_of_an_earlier_round_is_not_put_under_the_heads_of_the_last(nodes: MakeNodes) -> None:
    with pytest.raises(ConfigError, match=r"federation\.select: found best with share=body"):
        conduct(grid_of(nodes(3)), make_order(HEADS, select="best"))
