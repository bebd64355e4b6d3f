"""A reply becomes an admitted update or a quarantined one: nothing reaches a strategy unchecked.

Flower's FedAvg and FedMedian turn the whole model to NaN on one bad client, and an odd key makes a strategy skip the
round; this gate looks at names, shapes, dtype, size, finiteness and the example count of each reply on its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict

from fedcredit.data.governance.contract import errors
from fedcredit.federation.arrays import record_of
from fedcredit.federation.messages import ARRAYS, EXAMPLES, MAX_EXAMPLES, METRICS, SCORE_BINS

# A credit model's weights are single digits. One finite 3e38 would pass a test for NaN, be averaged and checkpointed,
# and turn every honest institution's next reply into NaN.
LARGEST_WEIGHT = 1e4


@dataclass(frozen=True)
class Wanted:
    """What one array must look like: shape, dtype, and the bytes that Flower's encoding puts before the numbers."""

    shape: tuple[int, ...]
    dtype: str
    header: bytes
    content_bytes: int


@dataclass(frozen=True)
class Reference:
    """What an update must look like, by array name."""

    arrays: Mapping[str, Wanted]

    @staticmethod
    def of(arrays: ArrayRecord) -> Reference:
        """The reference that the global arrays set."""
        return Reference({name: _wanted(array) for name, array in arrays.items()})


def _wanted(array: Array) -> Wanted:
    content_bytes = array.numpy().nbytes
    return Wanted(tuple(array.shape), array.dtype, array.data[: len(array.data) - content_bytes], content_bytes)


@dataclass(frozen=True)
class Admitted:
    """A clean reply: exactly the known arrays, the known metrics, and the additive validation counts apart."""

    message: Message
    metrics: Mapping[str, float]
    counts: np.ndarray | None  # (2, SCORE_BINS) int64: validation scores of good and bad companies


@dataclass(frozen=True)
class Quarantined:
    """A reply that takes no part in the round; the reason is a code with numbers, never the sender's text."""

    reason: str


def admit(reply: Message, reference: Reference, *, most_examples: int = MAX_EXAMPLES) -> Admitted | Quarantined:
    """Check one train reply against the reference; `most_examples` is what its sender said it has."""
    if reply.has_error():
        return Quarantined(error_code(reply))
    content = reply.content
    arrays, metrics = content.get(ARRAYS), content.get(METRICS)
    if not isinstance(arrays, ArrayRecord) or not isinstance(metrics, MetricRecord):
        return Quarantined("records-missing")
    fault = _array_fault(arrays, reference)
    if fault is not None:
        return Quarantined(fault)
    plain = _plain_metrics(metrics, most_examples=min(most_examples, MAX_EXAMPLES))
    if isinstance(plain, Quarantined):
        return plain
    counts = _counts(metrics)
    if isinstance(counts, Quarantined):
        return counts
    # Only what a strategy needs: keys that differ between replies would make Flower skip the whole round, and some
    # strategies match arrays by their place and not by their name.
    ordered = record_of({name: arrays[name] for name in reference.arrays})
    reply.content = RecordDict({ARRAYS: ordered, METRICS: MetricRecord({EXAMPLES: plain[EXAMPLES]})})
    return Admitted(reply, plain, counts)


def error_code(reply: Message) -> str:
    """A code for an error reply; the sender's own words are never repeated."""
    # The reasons that our own ClientApp sends; any other text stays where it came from.
    return f"error-{reply.error.reason if reply.error.reason in errors().words else reply.error.code}"


def validation_counts(reply: Message) -> np.ndarray | None:
    """The counts of an evaluate reply, or None where it has none that can be added to the others'."""
    metrics = reply.content.get(METRICS) if reply.has_content() else None
    counts = _counts(metrics) if isinstance(metrics, MetricRecord) else None
    return None if isinstance(counts, Quarantined) else counts


def _array_fault(arrays: ArrayRecord, reference: Reference) -> str | None:
    if set(arrays.keys()) != set(reference.arrays):
        return "array-names"
    for name, wanted in reference.arrays.items():
        array = arrays[name]
        if tuple(array.shape) != wanted.shape:
            return "shape"
        if array.dtype != wanted.dtype:
            return "dtype"
        if len(array.data) > len(wanted.header) + wanted.content_bytes:
            return "oversize"
        # What the sender declares and the .npy bytes inside are two things. Numpy's parser is not shown a header of
        # a stranger's: it must be, byte for byte, the one that this shape and dtype have.
        is_whole = len(array.data) == len(wanted.header) + wanted.content_bytes
        if array.stype != "numpy.ndarray" or not is_whole or not array.data.startswith(wanted.header):
            return "undecodable"
        values = np.frombuffer(array.data, wanted.dtype, offset=len(wanted.header))
        if not np.isfinite(values).all():
            return "not-finite"
        if values.size and np.abs(values).max() > LARGEST_WEIGHT:
            return "too-large"
    return None


def _plain_metrics(metrics: MetricRecord, *, most_examples: int) -> dict[str, float] | Quarantined:
    """The scalar metrics; every one finite, the example count positive and capped."""
    plain = {key: value for key, value in metrics.items() if isinstance(value, int | float)}
    if any(isinstance(value, float) and not np.isfinite(value) for value in plain.values()):
        return Quarantined("metric-not-finite")
    examples = plain.get(EXAMPLES)
    if examples is None or not 0 < examples <= most_examples:
        return Quarantined("num-examples")
    return {key: plain[key] for key in (EXAMPLES, "loss") if key in plain}


def _counts(metrics: MetricRecord) -> np.ndarray | Quarantined | None:
    sides = [metrics.get("validation-good"), metrics.get("validation-bad")]
    if sides == [None, None]:
        return None
    if not all(isinstance(side, list) and len(side) == SCORE_BINS for side in sides):
        return Quarantined("validation-counts")
    counts = np.asarray(sides)
    # Each count first: a sum of large ones would wrap around to a small number.
    is_odd = counts.dtype.kind != "i" or (counts < 0).any() or (counts > MAX_EXAMPLES).any()
    if is_odd or counts.sum() > MAX_EXAMPLES:
        return Quarantined("validation-counts")
    return counts
