"""A window into one logit: an LSTM reads the periods in order, its last state is scored."""

from __future__ import annotations

from torch import Tensor, nn


class LSTM(nn.Module):
    """LSTM with a linear head on the state after the last period.

    Short windows are padded at the front, so the last period is always a real one.

    >>> [name for name, _ in LSTM(features=3, hidden=8).named_parameters()]  # doctest: +NORMALIZE_WHITESPACE
    ['body.weight_ih_l0', 'body.weight_hh_l0', 'body.bias_ih_l0', 'body.bias_hh_l0', 'head.weight', 'head.bias']
    """

    def __init__(self, *, features: int, hidden: int, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        # nn.LSTM warns when it is given dropout with a single layer: it only drops between layers.
        self.body = nn.LSTM(features, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n,) of windows x (n, time, features)."""
        states, _ = self.body(x)
        logits: Tensor = self.head(self.dropout(states[:, -1]))
        return logits.squeeze(-1)
