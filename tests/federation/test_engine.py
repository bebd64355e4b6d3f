"""Rounds over real Flower messages and strategies: the sums are right, and one bad institution stops nobody else."""

from __future__ import annotations

import errno
import random
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from flwr.app import ArrayRecord, Message
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg
from safetensors.numpy import save_file

from clients.app import app
from clients.training import batch_order
from fedcredit.config import CONFIGS
from fedcredit.errors import CheckpointError, ConfigError, FederationError
from fedcredit.evaluation.grid import ScoreGrid
from fedcredit.evaluation.metrics import auc
from fedcredit.evaluation.separation import auc_of_counts
from fedcredit.federation import checkpoint, engine
from fedcredit.federation.checkpoint import Arrays, RoundRecord
from fedcredit.federation.cohort import gather
from fedcredit.federation.engine import RoundPlan
from fedcredit.federation.grid import InProcessGrid
from fedcredit.federation.messages import SCORE_BINS, PrivacyTerms
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.train import evaluate, fit
from server.app import conduct, initial_arrays
from tests.conftest import FEATURES, Nodes
from tests.federation.conftest import make_order, make_task
from tests.federation.misbehaving import Answer, Withholding, altered, counted, grid_of, raises

MakeNodes = Callable[..., Nodes]
STRATEGIES = sorted((CONFIGS / "strategy").glob("*.yaml"))
TERMS = PrivacyTerms(epsilon=8.0, delta=1e-5, clip=1.0, sample_rate=0.5, steps=1, rounds=2)


def strategy_in(path: Path) -> dict[str, Any]:
    constructor: dict[str, Any] = yaml.safe_load(path.read_text())["strategy"]
    return constructor


def assert_bit_equal(left: Arrays, right: Arrays) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert value.dtype == right[name].dtype
        assert value.tobytes() == right[name].tobytes(), name


def model_of(arrays: Arrays, kind: str = "logistic") -> torch.nn.Module:
    model = build(ModelSettings(kind), features=FEATURES, time=3, seed=5)  # type: ignore[arg-type]
    model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in arrays.items()})
    return model


def validation_auc(nodes: Nodes, arrays: Arrays) -> float | None:
    rows = [windows.part("validation") for windows in nodes.windows]
    p = np.concatenate([evaluate(model_of(arrays), torch.from_numpy(part.x)) for part in rows])
    return auc_of_counts(ScoreGrid(bins=SCORE_BINS).count(p, np.concatenate([part.y for part in rows])))


def test_fedavg_of_three_banks_is_the_mean_of_their_own_models_weighted_by_their_rows(nodes: MakeNodes) -> None:
    banks, task = nodes(3), make_task()
    done = conduct(grid_of(banks), make_order(task, rounds=1))
    alone, rows = [], []
    for number, windows in enumerate(banks.windows):
        train = windows.part("train")
        model = model_of(initial_arrays(task))
        order = batch_order(task, f"bank-{number}", number=1)
        fit(model, torch.from_numpy(train.x), torch.from_numpy(train.y), settings=task.local, generator=order)
        alone.append({name: value.double().numpy() for name, value in model.state_dict().items()})
        rows.append(len(train))
    assert rows == [60, 80, 100]
    for name, value in done.state.arrays.items():
        by_hand = (60 * alone[0][name] + 80 * alone[1][name] + 100 * alone[2][name]) / 240
        np.testing.assert_allclose(value, by_hand, rtol=0, atol=1e-7)


@pytest.mark.parametrize("path", STRATEGIES, ids=lambda path: path.stem)
def test_every_strategy_of_the_configs_runs_two_rounds_and_moves_the_model(path: Path, nodes: MakeNodes) -> None:
    task = make_task()
    done = conduct(grid_of(nodes(5)), make_order(task, strategy=strategy_in(path), rounds=2, quorum=5))
    assert [record.institutions for record in done.state.history] == [[f"bank-{i}" for i in range(5)]] * 2
    for name, start in initial_arrays(task).items():
        assert done.state.arrays[name].dtype == start.dtype
        assert np.isfinite(done.state.arrays[name]).all()
        assert not np.array_equal(done.state.arrays[name], start)


@pytest.mark.parametrize("name", ["FedAvg", "FedMedian"])
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (altered(head_bias=np.array([np.nan], np.float32)), "not-finite"),
        (altered(head_weight=np.full((1, 9), -np.inf, np.float32)), "not-finite"),
        (altered(head_weight=np.zeros((9, 1), np.float32)), "shape"),
        (altered(head_bias=np.zeros(1_000_000, np.float32)), "shape"),
        (altered(head_bias=np.zeros(1, np.float64)), "dtype"),
        (altered(backdoor=np.zeros(1, np.float32)), "array-names"),
        (counted(-60), "num-examples"),
        (counted(0), "num-examples"),
        (counted(10**30), "num-examples"),
        (counted(float("nan")), "metric-not-finite"),
        (raises, "error-2"),
    ],
    ids=["nan", "inf", "shape", "large", "dtype", "names", "negative", "zero", "huge", "nan-examples", "raises"],
)
def test_a_bad_institution_is_quarantined_and_the_aggregate_is_that_of_the_others(
    name: str, answer: Answer, reason: str, nodes: MakeNodes
) -> None:
    banks = nodes(4)
    order = make_order(strategy={"_target_": f"flwr.serverapp.strategy.{name}"}, rounds=2)
    others = Nodes([banks.configs[i] for i in (0, 2, 3)], [])
    with_liar = conduct(grid_of(banks, {"bank-1": answer}), order)
    without = conduct(grid_of(others), order)
    assert_bit_equal(with_liar.state.arrays, without.state.arrays)
    for record in with_liar.state.history:
        assert record.quarantined == {"bank-1": reason}
        assert record.institutions == ["bank-0", "bank-2", "bank-3"]


def test_when_every_reply_is_bad_the_round_is_named_and_the_last_checkpoint_stays(
    nodes: MakeNodes, tmp_path: Path
) -> None:
    banks, folder = nodes(3), tmp_path / "checkpoint"
    conduct(grid_of(banks), make_order(rounds=1, checkpoints=folder))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    liars = {f"bank-{i}": altered(head_bias=np.array([np.nan], np.float32)) for i in range(3)}
    with pytest.raises(FederationError, match=r"round 2: found 0 good replies \(not-finite\)") as caught:
        conduct(grid_of(banks, liars), make_order(rounds=2, checkpoints=folder))
    assert "resume" in caught.value.hint
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_the_text_of_an_exception_is_in_no_record_checkpoint_or_error(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = nodes(3)
    done = conduct(
        grid_of(banks, {"bank-1": raises}), make_order(rounds=1, quorum=2, checkpoints=tmp_path / "checkpoint")
    )
    assert "91330100MA27" not in repr(done.state.history)
    assert b"91330100MA27" not in b"".join(p.read_bytes() for p in (tmp_path / "checkpoint").rglob("state.json"))
    with pytest.raises(FederationError) as caught:
        conduct(grid_of(banks, {"bank-1": raises}), make_order(rounds=1))
    assert "91330100MA27" not in str(caught.value)
    assert "error-2" in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_quorum_above_the_number_of_institutions_is_refused_before_anybody_trains(nodes: MakeNodes) -> None:
    grid = Withholding(nodes(3), late={}, until=0)
    with pytest.raises(
        FederationError, match=r"waiting for nodes: found 3 connected, expected at least the quorum of 4"
    ):
        conduct(grid, make_order(quorum=4))
    assert grid.asked == []


def test_a_straggler_sits_out_its_late_reply_is_thrown_away_and_it_returns(nodes: MakeNodes) -> None:
    banks = nodes(3)
    grid = Withholding(banks, late={2: {2}}, until=3)  # bank-1 is node 2; its reply of round 2 comes with round 3
    done = conduct(grid, make_order(rounds=4, quorum=2, deadline_seconds=0.02))
    history = done.state.history
    everyone = ["bank-0", "bank-1", "bank-2"]
    assert [record.institutions for record in history] == [
        everyone,
        ["bank-0", "bank-2"],
        ["bank-0", "bank-2"],
        everyone,
    ]
    assert [record.missing for record in history] == [[], ["bank-1"], [], []]
    assert (3, 2) not in grid.asked
    # The same rounds with bank-1 refused in 2 and 3: what it sent late is nowhere in the model.
    alike = conduct(_Failing(banks, rounds={2, 3}), make_order(rounds=4, quorum=2))
    assert_bit_equal(done.state.arrays, alike.state.arrays)


class _Failing(InProcessGrid):
    """bank-1 fails in the given rounds."""

    def __init__(self, banks: Nodes, *, rounds: set[int]) -> None:
        def serve(message: Message, context: Any) -> Message:
            number = message.content["config"].get("server-round", 0)
            if context.node_config["institution"] == "bank-1" and number in rounds:
                raise RuntimeError("away")
            return app(message, context)

        super().__init__(serve, banks.configs)


def test_when_too_many_are_late_the_round_fails_and_says_that_it_was_the_deadline(nodes: MakeNodes) -> None:
    grid = Withholding(nodes(3), late={1: {1}, 2: {2}}, until=99)
    with pytest.raises(FederationError, match=r"round 2: found 1 good replies \(deadline\)"):
        conduct(grid, make_order(rounds=3, quorum=2, deadline_seconds=0.01))


def test_the_last_evaluation_does_not_wait_for_who_is_late(nodes: MakeNodes) -> None:
    grid = Withholding(nodes(3), late={2: {2}}, until=99)
    done = conduct(grid, make_order(rounds=2, quorum=2, deadline_seconds=0.02))
    assert done.state.history[-1].missing == ["bank-1"]
    assert grid.asked[-2:] == [(3, 1), (3, 3)]


class _Shuffled(InProcessGrid):
    """Lists its nodes and hands out replies in the reverse order."""

    def get_node_ids(self) -> list[int]:
        return super().get_node_ids()[::-1]

    def pull_messages(self, message_ids: Any) -> list[Message]:
        return super().pull_messages(list(message_ids)[::-1])


@pytest.mark.parametrize("path", STRATEGIES, ids=lambda path: path.stem)
def test_the_order_of_nodes_and_of_replies_does_not_change_a_bit(path: Path, nodes: MakeNodes) -> None:
    banks = nodes(5)
    order = make_order(strategy=strategy_in(path), rounds=2, quorum=5)
    first = conduct(InProcessGrid(app, banks.configs), order)
    for grid in (_Shuffled(app, banks.configs), InProcessGrid(app, banks.configs[::-1])):
        assert_bit_equal(first.state.arrays, conduct(grid, order).state.arrays)


@pytest.mark.parametrize("path", STRATEGIES, ids=lambda path: path.stem)
def test_an_institution_that_names_its_arrays_in_another_order_does_not_mix_them_up(
    path: Path, nodes: MakeNodes
) -> None:
    def backwards(message: Message, reply: Message) -> Message:
        arrays = dict(reversed(list(reply.content["arrays"].items())))
        reply.content["arrays"] = ArrayRecord(arrays)
        return reply

    banks = nodes(5)
    order = make_order(make_task(model=ModelSettings("mlp", hidden=9)), strategy=strategy_in(path), rounds=2, quorum=5)
    honest = conduct(grid_of(banks), order).state.arrays
    mixed = conduct(grid_of(banks, {"bank-0": backwards, "bank-3": backwards}), order).state.arrays
    assert_bit_equal(honest, mixed)


def test_a_strategy_that_samples_chooses_the_same_institutions_for_the_same_seed(nodes: MakeNodes) -> None:
    banks = nodes(5)
    strategy = {"_target_": "flwr.serverapp.strategy.FedAvg", "fraction_train": 0.4}
    order = make_order(strategy=strategy, rounds=4, quorum=2)
    chosen = [
        [record.institutions for record in conduct(InProcessGrid(app, banks.configs), order).state.history]
        for _ in range(2)
    ]
    assert chosen[0] == chosen[1]
    assert all(len(names) == 2 for names in chosen[0])
    assert len({tuple(names) for names in chosen[0]}) > 1


def test_an_aggregate_that_is_not_finite_stops_the_run_before_it_is_kept(nodes: MakeNodes, tmp_path: Path) -> None:
    strategy = {"_target_": "flwr.serverapp.strategy.FedAdam", "eta": float("inf")}
    with pytest.raises(
        FederationError, match="round 1: found NaN, infinity or another shape in the strategy's aggregate"
    ):
        conduct(grid_of(nodes(3)), make_order(strategy=strategy, checkpoints=tmp_path / "checkpoint"))
    assert not (tmp_path / "checkpoint").exists()


def test_there_is_a_checkpoint_after_every_round_and_its_record_is_told(nodes: MakeNodes, tmp_path: Path) -> None:
    told: list[tuple[int, list[str]]] = []
    folder = tmp_path / "checkpoint"

    def on_round(record: RoundRecord) -> None:
        told.append((record.round, sorted(path.name for path in folder.iterdir())))

    conduct(grid_of(nodes(3)), make_order(rounds=3, checkpoints=folder), on_round=on_round)
    assert told == [
        (1, ["round-00001"]),
        (2, ["round-00001", "round-00002"]),
        (3, ["round-00002", "round-00003"]),
    ]


def test_a_full_disk_at_a_checkpoint_leaves_the_round_before_and_the_run_can_be_resumed(
    nodes: MakeNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    banks, folder = nodes(3), tmp_path / "checkpoint"
    whole = conduct(grid_of(banks), make_order(rounds=3))
    save, calls = save_file, []

    def full(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*arguments)

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        conduct(grid_of(banks), make_order(rounds=3, checkpoints=folder))
    assert [path.name for path in folder.iterdir()] == ["round-00001"]
    assert_bit_equal(conduct(grid_of(banks), make_order(rounds=3, checkpoints=folder)).state.arrays, whole.state.arrays)


def test_a_checkpoint_that_cannot_grow_is_an_error_of_ours_and_leaves_no_draft(
    nodes: MakeNodes, tmp_path: Path
) -> None:
    banks, folder = nodes(3), tmp_path / "checkpoint"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # no file beyond 100 bytes
        with pytest.raises(CheckpointError, match="File too large"):
            conduct(grid_of(banks), make_order(rounds=2, checkpoints=folder))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(folder.iterdir()) == []


def test_select_best_keeps_the_model_of_the_best_validation_round(nodes: MakeNodes) -> None:
    banks = nodes(3)
    order: dict[str, Any] = {"rounds": 14, "strategy": {"_target_": "flwr.serverapp.strategy.FedAdam", "eta": 0.5}}
    last = conduct(grid_of(banks), make_order(**order))
    best = conduct(grid_of(banks), make_order(**order, select="best"))
    aucs = [record.validation_auc for record in best.state.history]
    assert None not in aucs
    assert best.state.best_round == 1 + aucs.index(max(aucs))  # type: ignore[type-var]
    assert validation_auc(banks, best.state.arrays) == max(aucs) == best.state.best_auc  # type: ignore[type-var]
    assert validation_auc(banks, last.state.arrays) == aucs[-1]
    assert aucs[-1] != max(aucs), "choose a rate for which the last round is not the best"  # type: ignore[type-var]
    rows = [windows.part("validation") for windows in banks.windows]
    p = np.concatenate([evaluate(model_of(last.state.arrays), torch.from_numpy(part.x)) for part in rows])
    assert auc(np.concatenate([part.y for part in rows]), p) == pytest.approx(aucs[-1], abs=2e-3)


def test_patience_stops_after_that_many_rounds_without_a_better_one(nodes: MakeNodes) -> None:
    strategy = {"_target_": "flwr.serverapp.strategy.FedAdam", "eta": 0.5}
    order = make_order(strategy=strategy, rounds=40, select="best", patience=2)
    state = conduct(grid_of(nodes(3)), order).state
    assert state.round < 40
    assert state.best_round is not None
    # The model of a round is judged in the next one, so the stop comes one round after.
    assert state.round - state.best_round == 3


def test_patience_without_select_best_is_refused() -> None:
    with pytest.raises(ConfigError, match="select=best"):
        RoundPlan(patience=2)


def test_choosing_a_round_is_refused_under_privacy(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = nodes(3)
    with pytest.raises(ConfigError, match=r"federation\.select") as caught:
        conduct(grid_of(banks), make_order(make_task(privacy=TERMS), rounds=2, select="best"))
    assert "release" in caught.value.hint
    assert not list(tmp_path.rglob("*.sqlite"))


@pytest.mark.parametrize("good", [[2**62] * SCORE_BINS, [1] * 3, [-1] * SCORE_BINS, [0.5] * SCORE_BINS, None])
def test_odd_replies_to_the_last_evaluation_are_left_out(good: list[int] | None, nodes: MakeNodes) -> None:
    def answer(message: Message, reply: Message) -> Message:
        if good is None:
            return raises(message, reply)
        reply.content["metrics"]["validation-good"] = good
        return reply

    banks = nodes(3)
    done = conduct(grid_of(banks, {"bank-1": answer}, kind="evaluate"), make_order(rounds=2))
    honest = Nodes([], [banks.windows[0], banks.windows[2]])
    assert done.state.history[-1].validation_auc == validation_auc(honest, done.state.arrays)


def test_no_metric_is_asked_for_or_kept_where_the_task_says_none(nodes: MakeNodes) -> None:
    grid = Withholding(nodes(3), late={}, until=0)
    done = conduct(grid, make_order(make_task(metrics="none"), rounds=2))
    assert [record.validation_auc for record in done.state.history] == [None, None]
    assert done.state.best_arrays is None
    assert {number for number, _ in grid.asked} == {0, 1, 2}


def interrupt(at: int) -> Callable[[RoundRecord], None]:
    def on_round(record: RoundRecord) -> None:
        if record.round == at:
            raise KeyboardInterrupt

    return on_round


STATEFUL: dict[str, dict[str, float]] = {
    "FedAvg": {},
    "FedAdam": {"eta": 0.05},
    "FedYogi": {"eta": 0.05},
    "FedAdagrad": {"eta": 0.05},
    "FedAvgM": {"server_momentum": 0.9, "server_learning_rate": 0.5},
    "FedProx": {"proximal_mu": 0.1},
}


@pytest.mark.parametrize("name", list(STATEFUL))
def test_a_run_cut_in_the_middle_and_resumed_gives_the_same_bits(name: str, nodes: MakeNodes, tmp_path: Path) -> None:
    strategy = {"_target_": f"flwr.serverapp.strategy.{name}", **STATEFUL[name]}
    banks = nodes(3)
    whole = conduct(grid_of(banks), make_order(strategy=strategy, rounds=5))
    order = make_order(strategy=strategy, rounds=5, checkpoints=tmp_path / "checkpoint")
    for at in (2, 3):
        with pytest.raises(KeyboardInterrupt):
            conduct(grid_of(banks), order, on_round=interrupt(at))
    told: list[int] = []
    resumed = conduct(grid_of(banks), order, on_round=lambda record: told.append(record.round))
    assert told == [4, 5]
    assert_bit_equal(resumed.state.arrays, whole.state.arrays)
    assert_bit_equal(resumed.state.strategy, whole.state.strategy)
    for mine, other in zip(resumed.state.history, whole.state.history, strict=True):
        assert (mine.loss, mine.validation_auc) == (other.loss, other.validation_auc)


def test_a_run_that_is_already_done_is_not_done_again(nodes: MakeNodes, tmp_path: Path) -> None:
    banks, order = nodes(3), make_order(rounds=3, select="best", checkpoints=tmp_path / "checkpoint")
    first = conduct(grid_of(banks), order)
    told: list[RoundRecord] = []
    again = conduct(grid_of(banks), order, on_round=told.append)
    assert told == []
    assert_bit_equal(again.state.arrays, first.state.arrays)
    assert again.state.history == first.state.history


def test_a_checkpoint_of_another_seed_is_refused(nodes: MakeNodes, tmp_path: Path) -> None:
    banks = nodes(3)
    conduct(grid_of(banks), make_order(rounds=1, checkpoints=tmp_path / "checkpoint"))
    with pytest.raises(CheckpointError, match="another task"):
        conduct(grid_of(banks), make_order(make_task(seed=6), rounds=2, checkpoints=tmp_path / "checkpoint"))


def test_two_runs_of_one_seed_are_equal_and_of_two_seeds_are_not(nodes: MakeNodes) -> None:
    banks = nodes(3)
    first, again = (conduct(grid_of(banks), make_order()).state.arrays for _ in range(2))
    assert_bit_equal(first, again)
    other = conduct(grid_of(banks), make_order(make_task(run="other", seed=6))).state.arrays
    assert not np.array_equal(first["head.weight"], other["head.weight"])


def test_the_global_random_generators_are_left_alone(nodes: MakeNodes) -> None:
    kept = (random.getstate(), torch.get_rng_state())
    conduct(grid_of(nodes(3)), make_order(rounds=1))
    assert random.getstate() == kept[0]
    assert torch.equal(torch.get_rng_state(), kept[1])


def test_a_grid_without_nodes_is_given_up_after_the_wait() -> None:
    empty: Grid = InProcessGrid(app, [])
    with pytest.raises(FederationError, match="waiting for nodes: found 0 connected") as caught:
        conduct(empty, make_order(wait_seconds=0.01))
    assert "start the missing nodes" in caught.value.hint


@pytest.mark.parametrize("name", ["rounds", "quorum"])
def test_a_plan_without_rounds_or_quorum_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"federation.{name}: found 0"):
        RoundPlan(**{name: 0})  # type: ignore[arg-type]


def test_the_engine_says_which_round_had_no_aggregate(nodes: MakeNodes) -> None:
    class Mute(FedAvg):  # type: ignore[misc]
        def aggregate_train(self, server_round: int, replies: Any) -> tuple[None, None]:
            return None, None

    banks, order = nodes(3), make_order()
    grid = grid_of(banks)
    members = gather(grid, order.task, quorum=3, wait_seconds=0.1, poll_seconds=0.001)
    with pytest.raises(FederationError, match="round 1: found no aggregate from the strategy"):
        engine.run_rounds(
            grid,
            Mute(min_train_nodes=1, min_available_nodes=1),
            initial_arrays(order.task),
            task=order.task,
            plan=order.plan,
            members=members,
        )
