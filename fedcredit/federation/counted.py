"""A question becomes what both sides of a masked sum of counts must agree on, and its words become the counts again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from flwr.app import ArrayRecord
from numpy.typing import NDArray

from fedcredit.errors import ConfigError
from fedcredit.federation.counting import LARGEST_COUNT, Question
from fedcredit.federation.masked import named_plan
from fedcredit.federation.messages import COUNTS_MASKED, QUESTION, Task
from fedcredit.federation.opened import Opened
from fedcredit.federation.sums import MaskedSum
from fedcredit.privacy.counted import solve_release
from fedcredit.privacy.distributed import Crowd
from fedcredit.privacy.released import Release
from fedcredit.privacy.secagg import Counts, Encoding, Plan
from fedcredit.privacy.secagg.encoding import Words
from fedcredit.trust.keys import PublicIdentity


def release_of(task: Task, *, group: Sequence[str] = ()) -> Release | None:
    """The noise of one evaluation of the study, a group's together or one institution's; none for exact counts.

    Of a group a third may collude and some may drop out: the shares of the others make up the whole noise.
    """
    terms = task.counts
    if terms is None or terms.epsilon is None:
        return None
    return solve_release(
        terms.epsilon,
        delta=terms.delta,
        evaluations=terms.evaluations,
        rows=terms.rows_per_company,
        shares=Crowd.of(len(group), dropouts=terms.dropouts).honest if group else 1,
    )


def counts_encoding(task: Task, question: Question, *, members: int) -> Encoding:
    """Noised counts may be below 0 and stand as numbers with a sign, exact ones as the counts that they are."""
    if task.counts is not None and task.counts.is_noised:
        return Encoding(question.cells, float(LARGEST_COUNT), members, bits=64)
    largest = min(LARGEST_COUNT, (2**32 - 1) // members)
    return Encoding(0, 1.0, members, (Counts(QUESTION, question.cells, largest),))


def counts_plan(
    task: Task, question: Question, group: Sequence[str], *, session: str, pinned: Mapping[str, PublicIdentity]
) -> Plan:
    """The plan of a set-up for counts. Its run is not that of the training, whose rounds have the same numbers.

    Raises:
        ConfigError, SecaggRefused: see `named_plan`.
    """
    schema = hashlib.sha256(f"{task.to_json()}\n{question.to_json()}".encode()).digest()
    encoding = counts_encoding(task, question, members=len(group))
    return named_plan(f"{task.run}+counts", group, session=session, pinned=pinned, schema=schema, encoding=encoding)


def counts_topic(task: Task, question: Question, *, model_sha256: bytes, number: int) -> bytes:
    """By what sums of counts are held against each other: exact ones over one model are of one set of institutions.

    The difference of two noised sums is no less noised, so those are told apart by question and number.
    """
    apart = "" if task.metrics == "exact" else f"{question.to_json()}/{number}"
    return hashlib.sha256(b"fedcredit/v1/counts" + model_sha256 + apart.encode()).digest()


@dataclass(eq=False)
class CountsSum(MaskedSum):
    """One masked sum of counts over one group of institutions."""

    kind: ClassVar[str] = COUNTS_MASKED

    question: Question | None = None

    def __post_init__(self) -> None:
        self.plan = counts_plan(self.task, self.asked, self.group, session=self.session, pinned=self.pinned)

    @property
    def asked(self) -> Question:
        """The question. Raises ConfigError: there is none."""
        if self.question is None:
            raise ConfigError("evaluation", found="no question", expected="one")
        return self.question

    @property
    def settings(self) -> dict[str, int | str]:
        """What every message of this sum says besides the task."""
        return {"session": self.session, QUESTION: self.asked.to_json()}

    def bound_model(self, model_sha256: bytes, *, number: int) -> bytes:
        """What the masks are bound to in place of the model alone."""
        return counts_topic(self.task, self.asked, model_sha256=model_sha256, number=number)

    def open(self, words: Words, *, incoming: ArrayRecord) -> Opened:
        """The counts of all, whole numbers."""
        return Opened(None, opened_counts(words, self.task, self.asked, members=len(self.group)), None)


def opened_counts(words: Words, task: Task, question: Question, *, members: int) -> NDArray[np.int64]:
    """The counts in an opened sum, (segments, 2, bins).

    Raises:
        EncodingRefused: the words are no sum of counts.
    """
    found = counts_encoding(task, question, members=members).decode(words)
    is_noised = task.counts is not None and task.counts.is_noised
    counts = np.rint(found.reals).astype(np.int64) if is_noised else found.counts[QUESTION]
    return counts.reshape(question.shape)
