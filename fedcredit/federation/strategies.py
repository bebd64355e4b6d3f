"""What a Flower strategy carries from round to round, out to a checkpoint and back; and what it needs to see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray

# Set afresh by `configure_train` in every round.
_PER_ROUND = {"current_arrays", "current_arrayrecord"}

# These use the weighted mean of the updates and nothing else of them, so a masked sum is enough.
AVERAGING = {"FedAvg", "FedAvgM", "FedProx", "FedAdam", "FedAdagrad", "FedYogi"}


def strategy_arrays(strategy: Strategy) -> dict[str, NDArray[Any]]:
    """The arrays that the strategy carries from round to round, as `attribute/name`.

    FedAdam, FedYogi and FedAdagrad keep dicts of arrays (`m_t`, `v_t`), FedAvgM a list.
    """
    found = {}
    for attribute, value in vars(strategy).items():
        if attribute in _PER_ROUND:
            continue
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        found.update({f"{attribute}/{key}": array for key, array in items if isinstance(array, np.ndarray)})
    return found


def restore(strategy: Strategy, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Give the strategy back what `strategy_arrays` took."""
    groups: dict[str, dict[str, NDArray[Any]]] = {}
    for key, array in arrays.items():
        attribute, name = key.split("/", 1)
        groups.setdefault(attribute, {})[name] = array
    for attribute, items in groups.items():
        as_list = all(name.isdigit() for name in items)
        setattr(strategy, attribute, [items[str(i)] for i in range(len(items))] if as_list else items)
