"""The words of an opened sum become the mean of the updates, and what else was added up beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from flwr.app import ArrayRecord
from numpy.typing import NDArray

from fedcredit.federation.arrays import decode, encode, record_of
from fedcredit.federation.masked import BAD, GOOD, WEIGHT, Layout, unflattened
from fedcredit.federation.messages import Task
from fedcredit.privacy.secagg.encoding import Words
from fedcredit.privacy.weights import WEIGHT_ONE


@dataclass(frozen=True)
class Opened:
    """Of the institutions in one sum: their mean model (None where nothing was trained), validation counts and loss."""

    arrays: ArrayRecord | None
    counts: NDArray[np.int64] | None
    loss: float | None


def open_sum(words: Words, layout: Layout, *, task: Task, incoming: ArrayRecord) -> Opened:
    """What the platform may know of a round: the incoming model moved by the weighted mean of the updates.

    Under distributed noise the sum is of clipped gradients, and the move one step of SGD by their mean over the
    expected batches of all; else it is of each update times its weight.

    Raises:
        EncodingRefused: the words are no sum of updates, as when masks did not cancel.
    """
    total = layout.encoding.decode(words)
    weight = int(total.counts[WEIGHT][0])
    counts = np.stack([total.counts[GOOD], total.counts[BAD]]) if layout.has_counts else None
    if counts is not None and not counts.any():
        counts = None
    if weight == 0:
        return Opened(None, counts, None)
    if layout.is_distributed and task.privacy is not None:
        move = -task.local.lr * total.reals[: layout.size] / (task.privacy.sample_rate * weight)
    else:
        move = total.reals[: layout.size] * WEIGHT_ONE / weight
    before = {name: decode(array) for name, array in incoming.items()}
    moved = {
        name: encode((before[name] + step).astype(before[name].dtype))
        for name, step in unflattened(move, before).items()
    }
    loss = float(total.reals[layout.size]) * WEIGHT_ONE / weight if layout.has_loss else None
    return Opened(record_of(moved), counts, loss)
