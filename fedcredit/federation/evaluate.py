"""One evaluation over a grid: a model's scores on every institution's held-out rows become summed counts.

In the clear each institution's counts are looked at on their own before they are added; under masks there is only the
sum. What comes out is small enough to print and enough for every figure of fedcredit/evaluation that is made of counts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedcredit.errors import ConfigError, FederationError
from fedcredit.federation.admission import error_code
from fedcredit.federation.arrays import decode, encode, record_of
from fedcredit.federation.checkpoint import Arrays
from fedcredit.federation.cohort import Member
from fedcredit.federation.counted import CountsSum, release_of
from fedcredit.federation.counting import LARGEST_COUNT, SMALLEST_CELL, Question
from fedcredit.federation.exchange import Exchange
from fedcredit.federation.messages import ARRAYS, CONFIG, COUNTS, MAX_EXAMPLES, QUESTION, Task
from fedcredit.federation.secure import MaskedCollector
from fedcredit.trust.keys import PublicIdentity

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluated:
    """What one evaluation gave.

    counts: (segments, 2, bins) of good and bad held-out rows on the public score grid; the last segment has the rows of
    no named one. Noised counts may be below 0; exact ones have no cell below SMALLEST_CELL, unless the rows are open.
    small: segments with fewer than SMALLEST_CELL rows of a class in cells that are shown, whose counts are zeros here.
    epsilon_metrics: what all evaluations of the study spend of each company at most, apart from training; None for
    exact counts. Which of them an institution has answered is in its own ledger. deviation: of the noise in one cell of
    the sum.
    """

    question: Question
    counts: NDArray[np.int64]
    institutions: tuple[str, ...]
    small: tuple[str, ...] = ()
    quarantined: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    epsilon_metrics: float | None = None
    delta: float | None = None
    deviation: float = 0.0

    def of(self, segment: str) -> NDArray[np.int64]:
        """The counts (2, bins) of one segment; of `other` those of all that are not named.

        Raises:
            ConfigError: the question named no such segment.
        """
        names = segment_names(self.question)
        if segment not in names:
            raise ConfigError("segment", found=repr(segment), expected=f"one of {', '.join(names)}")
        found: NDArray[np.int64] = self.counts[names.index(segment)]
        return found


def segment_names(question: Question) -> tuple[str, ...]:
    """The names of the segments, in the order of the counts.

    >>> segment_names(Question()), segment_names(Question(column="size", segments=("small",)))
    (('all',), ('small', 'other'))
    """
    return (*question.segments, "other") if question.segments else ("all",)


def evaluate(
    grid: Grid,
    arrays: Arrays,
    *,
    task: Task,
    question: Question,
    members: Sequence[Member],
    number: int = 1,
    pinned: Mapping[str, PublicIdentity] | None = None,
    is_open: bool = False,
    quorum: int = 1,
    deadline_seconds: float = 600.0,
    poll_seconds: float = 0.5,
) -> Evaluated:
    """Ask every institution of the run once, and add up what comes back.

    number: of this evaluation in its run, counted from 1, each once. pinned: the identities of the institutions, for a
    task with masking. is_open: whoever runs this holds the rows as well, so that small cells of an exact sum are kept.

    Raises:
        FederationError: fewer than `quorum` institutions gave counts, or their masked sum could not be opened.
        ConfigError: the task has no terms for evaluations.
    """
    terms = task.counts
    if terms is None:
        raise ConfigError("task.counts", found="none", expected="the terms of the study's evaluations")
    if not 1 <= number <= terms.evaluations:
        expected = f"1 to {terms.evaluations}, as the study states"
        raise ConfigError("evaluation", found=f"number {number}", expected=expected)
    names = {member.node: member.institution for member in members}
    exchange = Exchange(grid, names, deadline_seconds=deadline_seconds, poll_seconds=poll_seconds)
    incoming = record_of({name: encode(value) for name, value in arrays.items()})
    run = _Evaluation(task, question, number, exchange, incoming, is_open)
    found = run.in_the_clear() if task.masking is None else run.under_masks(members, pinned or {})
    if len(found.institutions) < quorum:
        reasons = ", ".join(sorted({*found.quarantined.values(), *(["deadline"] if found.missing else [])}))
        hint = "the reasons' details are in the institutions' own logs; the attempt counts as an evaluation there"
        said = f"{len(found.institutions)} institutions with counts ({reasons or 'no reason'})"
        raise FederationError(f"evaluation {number}", found=said, expected=f"at least {quorum}", hint=hint)
    return found


@dataclass(frozen=True)
class _Evaluation:
    task: Task
    question: Question
    number: int
    exchange: Exchange
    incoming: ArrayRecord
    is_open: bool

    def in_the_clear(self) -> Evaluated:
        """Each institution's counts, admitted or set aside on their own."""
        replies, missing = self.exchange.send(self._messages())
        good: dict[str, NDArray[np.int64]] = {}
        bad: dict[str, str] = {}
        for name in sorted(replies):
            found = admitted_counts(replies[name], self.question, is_noised=self.task.metrics == "noised")
            if isinstance(found, str):
                bad[name] = found
                log.warning("quarantined: %s, %s", name, found)
            else:
                good[name] = found
        total = np.zeros(self.question.shape, np.int64)
        for counts in good.values():
            total += counts
        return self._evaluated(total, list(good), quarantined=bad, missing=missing, noises=len(good))

    def under_masks(self, members: Sequence[Member], pinned: Mapping[str, PublicIdentity]) -> Evaluated:
        """The sum over each group, opened; nobody's own counts."""
        there = {member.institution for member in members}
        groups = self.task.masking.groups if self.task.masking is not None else ()
        sums = [
            CountsSum(self.task, group, pinned, 0, 1, question=self.question) for group in groups if there & set(group)
        ]
        collector = MaskedCollector(self.exchange, self.task, sums)
        found = collector.collect_counts(self.number, self._messages())
        if found.counts is None:
            return self._evaluated(None, [], quarantined=found.quarantined, missing=found.missing, noises=0)
        return self._evaluated(
            found.counts,
            found.institutions,
            quarantined=found.quarantined,
            missing=found.missing,
            noises=len(found.institutions),
        )

    def _messages(self) -> list[Message]:
        more: dict[str, int | float | str] = {"server-round": self.number, QUESTION: self.question.to_json()}
        config = self.task.as_config(**more)
        return [
            Message(RecordDict({ARRAYS: self.incoming, CONFIG: config}), node, COUNTS) for node in self.exchange.free()
        ]

    def _evaluated(
        self,
        counts: NDArray[np.int64] | None,
        institutions: Sequence[str],
        *,
        quarantined: Mapping[str, str],
        missing: Sequence[str],
        noises: int,
    ) -> Evaluated:
        terms, shape = self.task.counts, self.question.shape
        groups = self.task.masking.groups if self.task.masking is not None else ()
        noise = release_of(self.task, group=groups[0] if groups else ())
        delta = terms.delta if terms is not None and noise is not None else None
        # In the clear each institution has left out its own small cells; it alone knows whether its rows are open.
        is_whole = noise is None and bool(groups) and not self.is_open
        total = np.zeros(shape, np.int64) if counts is None else counts
        shown, small = shown_counts(total, self.question, smallest=SMALLEST_CELL if is_whole else 0)
        return Evaluated(
            question=self.question,
            counts=shown,
            institutions=tuple(institutions),
            small=small,
            quarantined=dict(quarantined),
            missing=tuple(missing),
            epsilon_metrics=terms.epsilon if terms is not None else None,
            delta=delta,
            deviation=noise.deviation_of_sum(noises) if noise is not None else 0.0,
        )


def shown_counts(
    counts: NDArray[np.int64], question: Question, *, smallest: int = 0
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The counts without cells below `smallest`, without segments that then have too few rows of a class, and the names
    of those.

    >>> shown, small = shown_counts(np.array([[[9, 90], [5, 4]]]), Question(bins=8))
    >>> shown.sum(), small
    (np.int64(0), ('all',))
    >>> shown_counts(np.array([[[9, 90], [30, 4]]]), Question(bins=8), smallest=10)[0].tolist()
    [[[0, 90], [30, 0]]]
    """
    if smallest:
        counts = np.where(counts < smallest, 0, counts)
    totals = counts.sum(axis=2)
    is_small = (totals < SMALLEST_CELL).any(axis=1)
    names = segment_names(question)
    return np.where(is_small[:, None, None], 0, counts), tuple(names[at] for at in np.flatnonzero(is_small))


def admitted_counts(reply: Message, question: Question, *, is_noised: bool) -> NDArray[np.int64] | str:
    """One institution's counts, or a code that says why they are set aside."""
    if reply.has_error():
        return error_code(reply)
    arrays = reply.content.get(ARRAYS)
    if not isinstance(arrays, ArrayRecord) or list(arrays) != [QUESTION]:
        return "records-missing"
    array, wanted = arrays[QUESTION], encode(np.zeros(question.shape, np.int64))
    header = wanted.data[: len(wanted.data) - question.cells * np.dtype(np.int64).itemsize]
    # As at the admission gate: numpy's parser is not shown a header of a stranger's.
    is_wanted = len(array.data) == len(wanted.data) and array.data.startswith(header)
    if not is_wanted or (array.dtype, tuple(array.shape), array.stype) != ("int64", question.shape, wanted.stype):
        return "counts-form"
    counts: NDArray[np.int64] = decode(array)
    # Each count first: a sum of large ones would wrap around to a small number.
    if (counts > LARGEST_COUNT).any() or (counts < (-LARGEST_COUNT if is_noised else 0)).any():
        return "counts-range"
    return "counts-range" if abs(int(counts.sum())) > MAX_EXAMPLES else counts
