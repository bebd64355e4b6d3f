"""Rounds of messages become a model: our loop, Flower's strategies.

Flower's own `strategy.start` waits for ever for nodes, samples a straggler again, ends quietly with the initial model
when every reply failed, and cannot resume; this loop bounds, admits, fails and checkpoints. Evaluation of the incoming
model rides on the train message, so a round is one message to each institution.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray

from fedcredit.errors import ConfigError, FederationError
from fedcredit.evaluation.separation import auc_of_counts
from fedcredit.federation import checkpoint
from fedcredit.federation.arrays import decode, encode, record_of
from fedcredit.federation.checkpoint import Arrays, RoundRecord, RunState
from fedcredit.federation.cohort import FreeNodes, Member
from fedcredit.federation.collect import Collector, OpenCollector
from fedcredit.federation.exchange import Exchange
from fedcredit.federation.messages import ARRAYS, CONFIG, EVALUATE, Task
from fedcredit.federation.secure import MaskedCollector
from fedcredit.federation.strategies import restore, strategy_arrays
from fedcredit.federation.sums import sums_of
from fedcredit.trust.keys import PublicIdentity


@dataclass(frozen=True)
class RoundPlan:
    """How long a run is and what it takes for a round to count.

    quorum: good replies that a round needs. deadline_seconds: how long a round waits for replies; an institution that
    misses it sits out until its late reply has come in (and is thrown away). select: the model of the last round, or
    of the round with the best validation AUC (never under privacy: that choice would be a release). patience: stop
    after that many rounds without a better validation AUC.
    """

    rounds: int = 10
    quorum: int = 1
    deadline_seconds: float = 3600.0
    wait_seconds: float = 600.0
    poll_seconds: float = 0.5
    select: Literal["last", "best"] = "last"
    patience: int | None = None

    def __post_init__(self) -> None:
        for name in ("rounds", "quorum"):
            if getattr(self, name) < 1:
                raise ConfigError(f"federation.{name}", found=str(getattr(self, name)), expected="at least 1")
        if self.patience is not None and self.select == "last":
            raise ConfigError("federation.patience", found="patience with select=last", expected="select=best")


def run_rounds(
    grid: Grid,
    strategy: Strategy,
    initial: Arrays,
    *,
    task: Task,
    plan: RoundPlan,
    members: Sequence[Member],
    checkpoints: Path | None = None,
    pinned: Mapping[str, PublicIdentity] | None = None,
    on_round: Callable[[RoundRecord], None] = lambda record: None,
) -> RunState:
    """Run the rounds that are still to do and return the final state; its `arrays` are the chosen model.

    `checkpoints` is a folder: a state is written after every round, and a run that finds one there goes on from it.
    `pinned` are the identities of the institutions, for a task with masking.

    Raises:
        FederationError: too few institutions were free or gave a good reply in a round.
        CheckpointError: a checkpoint could not be written, or belongs to another task.
    """
    if task.privacy is not None and plan.select != "last":
        raise ConfigError(
            "federation.select",
            found=plan.select,
            expected="last under privacy",
            hint="choosing a round by private validation data is a release",
        )
    if task.share == "body" and plan.select != "last":
        raise ConfigError(
            "federation.select",
            found=f"{plan.select} with share=body",
            expected="last",
            hint="the heads that stay home are those of the last round and would not fit an earlier body",
        )
    if plan.quorum > len(members):
        raise FederationError(
            "federation.quorum",
            found=f"{plan.quorum} for {len(members)} institutions",
            expected=f"at most {len(members)}",
        )
    digest = hashlib.sha256(task.to_json().encode()).hexdigest()
    loaded = checkpoint.load(checkpoints, task_sha256=digest) if checkpoints else None
    state = loaded or RunState(0, dict(initial), {}, None, None, None, [])
    # A checkpoint sorts names; some strategies match arrays by their place.
    state = replace(state, arrays={name: state.arrays[name] for name in initial})
    restore(strategy, state.strategy)
    names = {member.node: member.institution for member in members}
    exchange = Exchange(grid, names, deadline_seconds=plan.deadline_seconds, poll_seconds=plan.poll_seconds)
    collector: Collector = OpenCollector(exchange, members)
    if task.masking is not None:
        size = sum(value.size for value in initial.values())
        collector = MaskedCollector(exchange, task, sums_of(task, members, pinned=pinned or {}, size=size))
    rounds = _Rounds(exchange, collector, strategy, task, plan)
    while state.round < plan.rounds and not _is_out_of_patience(state, plan):
        state = rounds.next(state)
        if checkpoints:
            checkpoint.save(checkpoints, state, task_sha256=digest)
        on_round(state.history[-1])
    return rounds.finish(state)


def _is_out_of_patience(state: RunState, plan: RoundPlan) -> bool:
    return plan.patience is not None and state.best_round is not None and state.round - state.best_round > plan.patience


class _Rounds:
    """One run's rounds; everything is in the state that goes in and comes out, but for who is late."""

    def __init__(
        self, exchange: Exchange, collector: Collector, strategy: Strategy, task: Task, plan: RoundPlan
    ) -> None:
        self._exchange, self._collector = exchange, collector
        self._strategy, self._task, self._plan = strategy, task, plan

    def next(self, state: RunState) -> RunState:
        """The state after one more round."""
        started = time.perf_counter()
        number = state.round + 1
        incoming = to_record(state.arrays)
        found = self._collector.collect(number, self._invite(number, incoming), incoming)
        if len(found.institutions) < self._plan.quorum:
            reasons = ", ".join(sorted({*found.quarantined.values(), *(["deadline"] if found.missing else [])}))
            raise FederationError(
                f"round {number}",
                found=f"{len(found.institutions)} good replies ({reasons})",
                expected=f"at least the quorum of {self._plan.quorum}",
                hint="the reasons' details are in the institutions' own logs; the last checkpoint can be resumed",
            )
        aggregated, _ = self._strategy.aggregate_train(number, found.updates)
        if aggregated is None:
            raise FederationError(
                f"round {number}",
                found="no aggregate from the strategy",
                expected="a model",
                hint="see the strategy's own log line",
            )
        arrays = _to_arrays(aggregated, like=state.arrays)
        if not all(a.shape == state.arrays[name].shape and np.isfinite(a).all() for name, a in arrays.items()):
            raise FederationError(
                f"round {number}",
                found="NaN, infinity or another shape in the strategy's aggregate of good updates",
                expected="finite numbers",
                hint="a smaller learning rate; the last checkpoint can be resumed",
            )
        state = _keep_best(state, auc_of_counts(found.counts) if found.counts is not None else None)
        record = RoundRecord(
            number,
            round(time.perf_counter() - started, 6),
            found.institutions,
            found.quarantined,
            found.missing,
            found.loss,
            None,
            found.per_institution,
        )
        return replace(
            state,
            round=number,
            arrays=arrays,
            strategy=strategy_arrays(self._strategy),
            history=[*state.history, record],
        )

    def finish(self, state: RunState) -> RunState:
        """Score the last round's model, and choose."""
        if self._task.metrics != "exact":
            return state
        # One past the last round: a head that stays home is then the one of the last round.
        number = state.round + 1
        record = RecordDict({ARRAYS: to_record(state.arrays), CONFIG: self._task.as_config(**{"server-round": number})})
        counts = self._collector.evaluate(number, [Message(record, node, EVALUATE) for node in self._exchange.free()])
        state = _keep_best(state, auc_of_counts(counts) if counts is not None else None)
        if self._plan.select == "best" and state.best_arrays is not None:
            return replace(state, arrays=state.best_arrays)
        return state

    def _invite(self, number: int, incoming: ArrayRecord) -> list[Message]:
        """Flower's strategy chooses among the free nodes and writes the messages."""
        free = self._exchange.free()  # never fewer than the quorum: whoever was good in the round before is free
        kept = random.getstate()
        random.seed(f"{self._task.seed}/{number}")  # a strategy that samples does so from Python's generator
        try:
            messages = list(self._strategy.configure_train(number, incoming, self._task.as_config(), FreeNodes(free)))
        finally:
            random.setstate(kept)
        return sorted(messages, key=lambda message: self._exchange.names[message.metadata.dst_node_id])


def _keep_best(state: RunState, auc: float | None) -> RunState:
    """Note the validation AUC of the state's model; remember the model if it is the best so far."""
    if auc is None or not state.history:
        return state
    history = [*state.history[:-1], replace(state.history[-1], validation_auc=auc)]
    state = replace(state, history=history)
    if state.best_auc is None or auc > state.best_auc:
        return replace(state, best_auc=auc, best_round=state.round, best_arrays=state.arrays)
    return state


def to_record(arrays: Arrays) -> ArrayRecord:
    """The arrays as they travel."""
    return record_of({name: encode(value) for name, value in arrays.items()})


def _to_arrays(record: ArrayRecord, *, like: Arrays) -> dict[str, NDArray[Any]]:
    # FedAdam's step is float64 under numpy 2; a model keeps the dtype it started with.
    return {name: decode(record[name]).astype(value.dtype, copy=False) for name, value in like.items()}
