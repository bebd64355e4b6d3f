"""An order for a federation becomes a trained model: gather, train in rounds, personalise, ask what was spent."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import Strategy
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from fedcredit.errors import ConfigError, FederationError
from fedcredit.federation import personal
from fedcredit.federation.admission import error_code
from fedcredit.federation.checkpoint import Arrays, RoundRecord, RunState
from fedcredit.federation.cohort import Member, Register, gather
from fedcredit.federation.counting import Question
from fedcredit.federation.engine import RoundPlan, run_rounds, to_record
from fedcredit.federation.evaluate import Evaluated
from fedcredit.federation.exchange import Exchange
from fedcredit.federation.messages import ARRAYS, CONFIG, METRICS, PERSONALISE, SPENT, Task
from fedcredit.models.build import build
from fedcredit.trust.keys import PublicIdentity
from fedcredit.trust.roster import read_roster
from server.evaluated import ask_questions

SILENCE_SECONDS = 60.0  # within which a SuperLink answers for a node that died

logging.getLogger("flwr").setLevel(logging.WARNING)  # its strategies log every round at INFO


@dataclass(frozen=True)
class Order:
    """Everything that one federation needs besides a grid; `strategy` is a constructor of flwr.serverapp.strategy.

    roster: the file of the institutions' identities, for a task with masking, or `pinned` those themselves. initial:
    the arrays to start from, such as those of the model in service; else those of a fresh model. questions: what is
    counted of the institutions' held-out rows under the final model, each an evaluation of the study.
    """

    task: Task
    plan: RoundPlan
    strategy: Mapping[str, Any]
    checkpoints: Path | None = None
    roster: Path | None = None
    initial: Arrays | None = None
    pinned: Mapping[str, PublicIdentity] | None = None
    questions: tuple[Question, ...] = ()


@dataclass(frozen=True)
class Conducted:
    """What came of it: the chosen arrays and history, who took part, the spend by institution, and the evaluations.

    silent: institutions that did not say what they spent; their spend here is what the plan allowed.
    """

    state: RunState
    members: list[Member]
    epsilon: dict[str, float]
    silent: tuple[str, ...] = ()
    evaluations: tuple[Evaluated, ...] = ()


def conduct(
    grid: Grid,
    order: Order,
    *,
    on_round: Callable[[RoundRecord], None] = lambda record: None,
    register: Register | None = None,
) -> Conducted:
    """Run the order on the grid; the grid may be in one process, Ray or a SuperLink, which has a register of nodes.

    Raises:
        FederationError, CheckpointError: see `run_rounds`.
    """
    task, plan = order.task, order.plan
    members = gather(
        grid,
        task,
        quorum=plan.quorum,
        wait_seconds=plan.wait_seconds,
        poll_seconds=plan.poll_seconds,
        register=register,
    )
    pinned = read_roster(order.roster) if order.roster is not None else order.pinned
    state = run_rounds(
        grid,
        strategy_of(order.strategy),
        initial_arrays(task) if order.initial is None else _fitting(order.initial, task),
        task=task,
        plan=plan,
        members=members,
        checkpoints=order.checkpoints,
        pinned=pinned,
        on_round=on_round,
    )
    if task.personal is not None:
        _ask_all(grid, members, PERSONALISE, order, state)
    evaluations = ask_questions(
        grid,
        state.arrays,
        order.questions,
        task=task,
        plan=plan,
        members=members,
        pinned=pinned,
        may_fail=register is not None,
        is_open=register is None,  # on one machine, as a study that tries a federation out
    )
    if task.privacy is None:
        return Conducted(state, members, {}, evaluations=evaluations)
    # At a consortium an institution may have stopped once its part was done: that takes the study from nobody else.
    answers = _ask_all(grid, members, SPENT, order, state, may_be_silent=register is not None)
    epsilon = {}
    for name, reply in answers.items():
        try:
            epsilon[name] = _epsilon(reply, institution=name)
        except FederationError:  # words that are no number are no answer
            if register is None:
                raise
    silent = tuple(member.institution for member in members if member.institution not in epsilon)
    epsilon |= dict.fromkeys(silent, task.privacy.epsilon)
    return Conducted(state, members, epsilon, silent, evaluations)


def strategy_of(constructor: Mapping[str, Any]) -> Strategy:
    """Flower's own strategy; how many nodes a round needs is the engine's business, so its minima are 1."""
    try:
        # Not recursive: a constructor inside an argument would be called whatever it names.
        strategy: Strategy = instantiate(
            dict(constructor), _recursive_=False, min_train_nodes=1, min_evaluate_nodes=1, min_available_nodes=1
        )
    except InstantiationException as fault:
        found = " ".join(line.strip() for line in str(fault).splitlines() if not line.startswith("full_key"))
        raise ConfigError(
            "recipe.strategy", found=found[:300], expected="a strategy of Flower and its arguments"
        ) from None
    return strategy


def initial_arrays(task: Task) -> Arrays:
    """The shared arrays of a fresh model; every institution can make the same from the task."""
    model = build(task.model, features=task.features, time=task.time, seed=task.seed)
    return {name: value.numpy().copy() for name, value in personal.shared(model, share=task.share).items()}


def _fitting(arrays: Arrays, task: Task) -> Arrays:
    """The arrays in the task's order, if they are those of its model."""
    wanted = initial_arrays(task)
    if {n: a.shape for n, a in arrays.items()} != {n: a.shape for n, a in wanted.items()}:
        raise ConfigError("order.initial", found="arrays of another model", expected="those that the task's model has")
    return {name: arrays[name].astype(value.dtype, copy=True) for name, value in wanted.items()}


def app_for(order: Order, outbox: list[Conducted], on_round: Callable[[RoundRecord], None]) -> ServerApp:
    """A ServerApp that conducts the order and leaves the result in `outbox` (Flower runs it in a thread of ours)."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        outbox.append(conduct(grid, order, on_round=on_round))

    return app


def _ask_all(
    grid: Grid, members: list[Member], kind: str, order: Order, state: RunState, *, may_be_silent: bool = False
) -> dict[str, Message]:
    """The reply of every member; one without, and the run would report less than what happened."""
    # One past the last round: a head that stays home is then the one of the last round.
    config = order.task.as_config(**{"server-round": state.round + 1})
    arrays = {} if kind == SPENT else {ARRAYS: to_record(state.arrays)}
    messages = [Message(RecordDict({CONFIG: config, **arrays}), m.node, kind) for m in members]
    names = {member.node: member.institution for member in members}
    # Not grid.send_and_receive, which looks for replies every three seconds only.
    plan = order.plan
    seconds = min(plan.deadline_seconds, SILENCE_SECONDS) if may_be_silent else plan.deadline_seconds
    exchange = Exchange(grid, names, deadline_seconds=seconds, poll_seconds=plan.poll_seconds)
    replies, _ = exchange.send(messages)
    answers = {name: reply for name, reply in replies.items() if reply.has_content()}
    faults = {error_code(reply) for reply in replies.values() if reply.has_error()}
    silent = sorted(set(names.values()) - set(answers))
    if silent and not may_be_silent:
        reasons = ", ".join(sorted(faults or {"deadline"}))
        raise FederationError(
            f"{kind} at {', '.join(silent)}",
            found=f"no answer ({reasons})",
            expected="one from every institution of the run",
            hint="the rounds are kept; resume asks again",
        )
    return answers


def _epsilon(reply: Message, *, institution: str) -> float:
    metrics = reply.content.get(METRICS)
    epsilon = metrics.get("epsilon") if isinstance(metrics, MetricRecord) else None
    if not isinstance(epsilon, int | float) or not 0 <= epsilon < math.inf:
        raise FederationError(f"{SPENT} at {institution}", found="no such number", expected="the epsilon spent")
    return float(epsilon)
