"""A question and a model become counts of this institution's held-out rows: charged first, then noised, or suppressed.

The institution's own figures stay here, in the run's folder.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from numpy.typing import NDArray
from torch import nn

from clients import masks
from clients.egress import outside
from clients.evaluations import Evaluations, Exact
from clients.institution import RUN_LEDGER, Institution, Rows
from clients.question import config_of, question_of
from fedcredit.data.governance.gate import Block
from fedcredit.errors import ConfigError, PolicyRefused
from fedcredit.evaluation.grid import GRID
from fedcredit.evaluation.noised import coarse
from fedcredit.evaluation.separation import auc_of_counts
from fedcredit.federation.arrays import encode, record_of
from fedcredit.federation.counted import counts_encoding, counts_topic, release_of
from fedcredit.federation.counting import GRID_BINS, LARGEST_COUNT, SMALLEST_CELL, CountTerms, Question
from fedcredit.federation.masked import model_sha256, settings_sha256
from fedcredit.federation.messages import (
    ARRAYS,
    CONFIG,
    COUNTS,
    DEAL,
    EXAMPLES,
    METRICS,
    QUESTION,
    SECAGG,
    WORDS,
    Task,
)
from fedcredit.models.train import evaluate as probabilities
from fedcredit.privacy.accounting import delta_for
from fedcredit.privacy.randomness import Stream
from fedcredit.privacy.released import Release
from fedcredit.trust.files import write_whole

Counted = NDArray[np.int64]  # (segments, 2, bins)


def terms_of(task: Task) -> CountTerms:
    """The terms of the task's evaluations. Raises PolicyRefused: it has none."""
    if task.counts is None:
        hint = "a study states the number of its evaluations, and their epsilon, before it begins"
        raise PolicyRefused("task.counts", found="none", expected="the terms of its evaluations", hint=hint)
    return task.counts


def in_the_clear(message: Message, here: Institution, task: Task, model: nn.Module, *, number: int) -> Message:
    """The counts of this institution alone, with all of the noise, or without small cells."""
    question = question_of(config_of(message))
    if question is None:
        raise ConfigError(QUESTION, found="no question", expected="one")
    terms_of(task)
    noise = release_of(task)
    _charge(here, task, question, model, noise=noise, number=number)
    counts = _counts(model, here, task, question, number=number)
    if noise is not None:
        counts = noise.noised(counts, uniform=Stream().uniforms)
    elif not here.is_open:
        counts = suppressed(counts)
    _check_range(counts)
    content = {ARRAYS: record_of({QUESTION: encode(counts)}), METRICS: MetricRecord({EXAMPLES: 1})}
    return Message(RecordDict(content), reply_to=message)


def under_masks(message: Message, here: Institution, task: Task, model: nn.Module, *, number: int) -> Message:
    """The counts in one masked vector, with a share of the noise; only a sum over the group opens.

    Whether the round is one that we take part in is asked before an evaluation is used up.
    """
    config, incoming = config_of(message), message.content[ARRAYS]
    question = question_of(config)
    if question is None or not isinstance(incoming, ArrayRecord):
        raise ConfigError("message", found="no question or no arrays", expected="both")
    session, start = masks.session_of(config, here, task, size=0), masks.bytes_in(config)
    topic = counts_topic(task, question, model_sha256=model_sha256(incoming), number=number)
    session.require_start(start, model_sha256=topic)
    terms_of(task)
    noise = release_of(task, group=session.plan.roster.names)
    _charge(here, task, question, model, noise=noise, number=number)
    counts = _counts(model, here, task, question, number=number)
    _check_range(counts)
    if noise is None:
        encoded = session.plan.encoding.encode(np.zeros(0), {QUESTION: counts.ravel()})
    else:
        encoded = session.plan.encoding.encode(noise.noised(counts, uniform=Stream().uniforms).ravel())
    bound = settings_sha256(config)
    head, words = session.upload(start, model_sha256=topic, settings_sha256=bound, encoded=encoded)
    said: dict[str, bytes] = {SECAGG: head}
    if config.get("deals") == 1:
        said[DEAL] = session.deal(number + 1)
    content = RecordDict({ARRAYS: record_of({WORDS: encode(words)}), CONFIG: ConfigRecord(dict(said))})
    return Message(content, reply_to=message)


def suppressed(counts: Counted, *, smallest: int = SMALLEST_CELL) -> Counted:
    """The counts without those of a few companies, which could be told apart.

    >>> suppressed(np.array([0, 9, 10])).tolist()
    [0, 0, 10]
    """
    return np.where(counts < smallest, 0, counts)


def counted(model: nn.Module, rows: Rows, *, terms: CountTerms, question: Question) -> Counted:
    """Exact counts of the rows, the last `rows_per_company` of each company."""
    kept = _last_rows(rows.company, most=terms.rows_per_company)
    if not len(kept):
        return np.zeros(question.shape, np.int64)
    scores, labels = probabilities(model, rows.x[kept]), rows.y[kept].numpy()
    segment = np.full(len(kept), len(question.segments))
    values = rows.about.get(question.column)
    if values is not None:
        place = {name: at for at, name in enumerate(question.segments)}
        segment = np.array([place.get(str(value), len(place)) for value in values[kept]])
    found = [GRID.count(scores[segment == at], labels[segment == at]) for at in range(question.shape[0])]
    if question.is_coarse:
        return np.stack([coarse(one) for one in found])
    return np.stack(found).reshape(*question.shape, -1).sum(axis=-1).astype(np.int64)


def outside_counts(task: Task, here: Institution, message: Message) -> dict[str, Block]:
    """What the counts of a reply look like, all but their values."""
    question = question_of(config_of(message))
    if question is None:
        return {}
    if message.metadata.message_type == COUNTS:
        return {QUESTION: outside(encode(np.zeros(question.shape, np.int64)))}
    encoding = counts_encoding(task, question, members=len(here.group_of(task)))
    return {WORDS: outside(encode(np.zeros(encoding.length, dtype=encoding.dtype)))}


def _charge(
    here: Institution, task: Task, question: Question, model: nn.Module, *, noise: Release | None, number: int
) -> None:
    """The evaluation is on disk, and charged where it has noise, before a row is touched; or it is refused."""
    is_hidden = noise is None and not here.is_open  # small cells are all that protects a company
    if is_hidden:
        _require_one_row(terms_of(task))
    terms, account = terms_of(task), here.counts_account(task)
    ledger = here.ledger_of(task)
    if noise is not None:
        largest = delta_for(max(here.companies, len(np.unique(here.held_out(question.split).company)), 1))
        if terms.delta > largest:
            raise PolicyRefused("task.counts.delta", found=f"{terms.delta:g}", expected=f"at most {largest:g} here")
        ledger.plan(account, [noise.mechanism.times(terms.evaluations)])
    kept = here.ledger if here.ledger is not None else here.folder(task.run) / RUN_LEDGER
    most = here.policy.evaluations if here.policy is not None else None
    Evaluations.beside(kept, *account.populations).take(
        task.study or account.study,
        most=terms.evaluations if most is None else min(most, terms.evaluations),
        run=task.run,
        question=question.to_json(),
        exact=Exact(question.split, _digest(model)) if is_hidden else None,
    )
    if noise is not None:
        ledger.charge(account, noise.mechanism, number=number)


def _require_one_row(terms: CountTerms) -> None:
    """A cell of so many rows is one of so many companies only where each has one row."""
    if terms.rows_per_company > 1:
        expected, hint = "1, for exact counts", "one company with 12 months would fill a cell that is shown; or noise"
        found = str(terms.rows_per_company)
        raise PolicyRefused("task.counts.rows_per_company", found=found, expected=expected, hint=hint)


def _digest(model: nn.Module) -> str:
    """One for equal weights, in whatever order they came."""
    found = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        found.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        found.update(value.detach().cpu().numpy().tobytes())
    return found.hexdigest()


def _counts(model: nn.Module, here: Institution, task: Task, question: Question, *, number: int) -> Counted:
    """The counts, once the institution has kept its own figures of them."""
    rows, terms = here.held_out(question.split), terms_of(task)
    _keep_own(
        here,
        task,
        question,
        counted(model, rows, terms=terms, question=replace(question, bins=GRID_BINS, is_coarse=False)),
        number,
    )
    return counted(model, rows, terms=terms, question=question)


def _keep_own(here: Institution, task: Task, question: Question, counts: Counted, number: int) -> None:
    """This institution's own rows of the report, which nobody else has."""
    names = [*question.segments, "other" if question.segments else "all"]
    own = {
        name: {"good": int(one[0].sum()), "bad": int(one[1].sum()), "auc": auc_of_counts(one)}
        for name, one in zip(names, counts, strict=True)
    }
    said = {"run": task.run, "number": number, "split": question.split, "column": question.column, "segments": own}
    text = json.dumps(said, ensure_ascii=False, indent=1)
    write_whole(here.folder(task.run) / "evaluations" / f"{number}.json", text.encode())


def _check_range(counts: Counted) -> None:
    if counts.size and int(np.abs(counts).max()) > LARGEST_COUNT // 2:
        expected = f"at most {LARGEST_COUNT // 2} companies in one cell"
        raise ConfigError("counts", found="more companies in one cell", expected=expected, hint="more bins or segments")


def _last_rows(company: NDArray[np.str_], *, most: int) -> NDArray[np.intp]:
    """Positions of the last so many rows of each company, rising.

    >>> _last_rows(np.array(["a", "a", "b", "a"]), most=2).tolist()
    [1, 2, 3]
    """
    backwards = company[::-1]
    order = np.argsort(backwards, kind="stable")
    ranked = backwards[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if len(ranked) else np.zeros(0, np.intp)
    rank = np.arange(len(ranked)) - np.repeat(starts, np.diff(np.r_[starts, len(ranked)]))
    return np.sort(len(company) - 1 - order[rank < most])
