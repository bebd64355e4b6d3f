"""The questions of an order become evaluations of its final model, and these a part of the result that is kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from flwr.serverapp import Grid

from fedcredit.errors import FederationError
from fedcredit.federation.checkpoint import Arrays
from fedcredit.federation.cohort import Member
from fedcredit.federation.counting import Question
from fedcredit.federation.engine import RoundPlan
from fedcredit.federation.evaluate import Evaluated, evaluate
from fedcredit.federation.messages import Task
from fedcredit.strict import build
from fedcredit.trust.keys import PublicIdentity

log = logging.getLogger(__name__)


def ask_questions(
    grid: Grid,
    arrays: Arrays,
    questions: Sequence[Question],
    *,
    task: Task,
    plan: RoundPlan,
    members: Sequence[Member],
    pinned: Mapping[str, PublicIdentity] | None = None,
    may_fail: bool = False,
    is_open: bool = False,
) -> tuple[Evaluated, ...]:
    """One evaluation a question, in their order.

    With `may_fail` one that too few institutions answer is left out, with a line in the log: at a consortium the model
    is there by then, and evaluations are spent where a coordinator was killed and asks again. is_open: see `evaluate`.

    Raises:
        FederationError: see `evaluate`.
    """
    found = []
    for number, question in enumerate(questions, start=1):
        try:
            one = evaluate(
                grid,
                arrays,
                task=task,
                question=question,
                members=members,
                number=number,
                pinned=pinned,
                is_open=is_open,
                quorum=plan.quorum,
                deadline_seconds=plan.deadline_seconds,
                poll_seconds=plan.poll_seconds,
            )
        except FederationError as fault:
            if not may_fail:
                raise
            log.warning("not evaluated: %s", fault)
            continue
        found.append(one)
    return tuple(found)


def as_facts(one: Evaluated) -> dict[str, Any]:
    """The evaluation as JSON keeps it; `of` says that the model's own output was counted, before any calibration."""
    facts: dict[str, Any] = {**vars(one), "question": asdict(one.question), "counts": one.counts.tolist(), "of": "p"}
    return facts


def from_facts(facts: Mapping[str, Any]) -> Evaluated:
    """The evaluation that `as_facts` gave.

    Raises:
        FederationError: counts of another shape than their question has, or something else.

    >>> import json
    >>> one = Evaluated(Question(bins=8), np.zeros((1, 2, 8), np.int64), ("bank-a",))
    >>> from_facts(json.loads(json.dumps(as_facts(one)))).institutions
    ('bank-a',)
    """
    question = build(Question, facts.get("question"), where="evaluation.question", complete=True)
    try:
        counts = np.asarray(facts["counts"])
        is_whole = counts.dtype.kind == "i" and counts.shape == question.shape
        said = {name: facts[name] for name in ("epsilon_metrics", "delta", "deviation")}
        numbers = {name: None if value is None else float(value) for name, value in said.items()}
        names = {name: tuple(map(str, facts[name])) for name in ("institutions", "small", "missing")}
        quarantined = {str(name): str(code) for name, code in facts["quarantined"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        is_whole = False
    if not is_whole:
        raise FederationError("result", found="an evaluation of another form", expected="counts of their question")
    return Evaluated(
        question,
        counts.astype(np.int64),
        names["institutions"],
        small=names["small"],
        quarantined=quarantined,
        missing=names["missing"],
        epsilon_metrics=numbers["epsilon_metrics"],
        delta=numbers["delta"],
        deviation=numbers["deviation"] or 0.0,
    )
