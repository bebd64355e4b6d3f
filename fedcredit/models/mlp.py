"""A flattened window into one logit by fully connected layers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class MLP(nn.Module):
    """Multi-layer perceptron with ReLU; `widths` are the sizes of the hidden layers.

    >>> [tuple(p.shape) for p in MLP(time=1, features=23, widths=(64, 32)).parameters()]
    [(64, 23), (64,), (32, 64), (32,), (1, 32), (1,)]
    """

    def __init__(self, *, time: int, features: int, widths: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = time * features
        for width in widths:
            layers += [nn.Linear(before, width), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            before = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(before, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n,) of windows x (n, time, features)."""
        logits: Tensor = self.head(self.body(x.flatten(1)))
        return logits.squeeze(-1)
