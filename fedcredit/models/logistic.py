"""A flattened window into one logit by a single linear layer."""

from __future__ import annotations

from torch import Tensor, nn


class Logistic(nn.Module):
    """Logistic regression on every input of the window; all of its parameters are in the head.

    >>> sorted(name for name, _ in Logistic(time=4, features=3).named_parameters())
    ['head.bias', 'head.weight']
    """

    def __init__(self, *, time: int, features: int) -> None:
        super().__init__()
        self.body = nn.Flatten()
        self.head = nn.Linear(time * features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n,) of windows x (n, time, features)."""
        logits: Tensor = self.head(self.body(x))
        return logits.squeeze(-1)
