"""One company's update into its row, where nothing protects it; a masked or noisy update into nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from fedcredit.errors import ModelError

Arrays = Mapping[str, NDArray[np.float64]]
# A layer's weight and the bias of the same layer: LSTM's first, a Linear's.
PAIRS = (("weight_ih_l0", "bias_ih_l0"), ("weight", "bias"))


def invert_first_layer(update: Arrays) -> NDArray[np.float64]:
    """The input (d,) of the first layer, from the update that one row made: dW = g x^T and db = g, so x = dW / db.

    The bias trick (Phong et al. 2018; Geiping et al. 2020). Exact for one row into a Linear layer; for a sequence into
    an LSTM, and for several rows, it is a weighted mean of the inputs.

    >>> g, x = np.array([0.5, -2.0]), np.array([3.0, 4.0, 5.0])
    >>> invert_first_layer({"body.0.weight": np.outer(g, x), "body.0.bias": g}).tolist()
    [3.0, 4.0, 5.0]
    """
    weight, bias = _first_layer(update)
    unit = int(np.abs(bias).argmax())
    if bias[unit] == 0.0:
        return np.zeros(weight.shape[1])
    recovered: NDArray[np.float64] = weight[unit] / bias[unit]
    return recovered


def invert_masked(
    masked: NDArray[np.uint32], *, shapes: Mapping[str, Sequence[int]], scale: float
) -> NDArray[np.float64]:
    """The same attempt on a masked vector, read as two's complement fixed point: names and shapes are public.

    shapes: by name, in the order of the vector; what the vector holds after them is left alone.
    """
    values = masked.view(np.int32).astype(np.float64) / scale
    update, place = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        update[name] = values[place : place + size].reshape(shape)
        place += size
    return invert_first_layer(update)


def likeness(recovered: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Rank correlation of what was recovered with the row (d,): 1 is the row, 0 is nothing.

    A window (time, d) counts by its mean, unless its inputs were recovered one by one.

    >>> likeness(np.array([1.0, 2.0, 4.0]), np.array([10.0, 20.0, 30.0]))
    1.0
    """
    flat = truth.ravel() if truth.size == recovered.size else truth.mean(0)
    if np.ptp(recovered) == 0.0 or np.ptp(flat) == 0.0:
        return 0.0
    return float(spearmanr(recovered, flat).statistic)


def _first_layer(update: Arrays) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    for weight, bias in PAIRS:
        for name, value in update.items():
            partner = f"{name.removesuffix(weight)}{bias}"
            if name.endswith(weight) and value.ndim == 2 and partner in update:
                return value, update[partner]
    raise ModelError("update", found="no layer with weight and bias", expected="a first layer with a bias")
