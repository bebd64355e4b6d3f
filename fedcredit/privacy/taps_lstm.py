"""One layer of an nn.LSTM through time, forth and back, with each company's clipped gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fedcredit.privacy.taps import outer_squared, without


class LSTMLayer:
    """Layer number `layer` of an nn.LSTM (batch first): states (n, time, hidden), or the last state only.

    In each period the gates are one product of W = [weight_ih, weight_hh, bias] with z = [input, state before, 1]. So
    the layer is a linear one whose rows are periods, and its norms and sums are those of taps.py; both biases have
    the gradient of the column of 1s.
    """

    def __init__(self, lstm: nn.LSTM, *, layer: int, only_last: bool) -> None:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        self.parameters: list[Tensor] = [getattr(lstm, f"{name}_l{layer}") for name in names]
        self.hidden, self.only_last = lstm.hidden_size, only_last
        inputs, one = self.parameters[0].shape[1], self.parameters[0].shape[1] + lstm.hidden_size
        self.columns = [slice(0, inputs), slice(inputs, one), slice(one, one + 1), slice(one, one + 1)]

    def forward(self, x: Tensor) -> Tensor:
        n, time, inputs = x.shape
        hidden, states = self.hidden, self.columns[1]
        of_input, of_state, bias, other_bias = self.parameters
        weight = torch.cat([of_input, of_state, (bias + other_bias).unsqueeze(1)], dim=1).t()
        # Periods come first: what one period reads and writes lies together.
        self.z = x.new_empty(time, n, inputs + hidden + 1)
        self.z[:, :, :inputs] = x.transpose(0, 1)
        self.z[0, :, states] = 0.0
        self.z[:, :, -1] = 1.0
        self.gates = x.new_empty(time, n, 4, hidden)  # input, forget, cell, output: torch's order
        self.cells = x.new_zeros(time + 1, n, hidden)
        self.bounded = x.new_empty(time, n, hidden)  # tanh of the cell
        out = x.new_empty(time, n, hidden)
        for t in range(time):
            gates = self.gates[t]
            torch.mm(self.z[t], weight, out=gates.view(n, 4 * hidden))
            gates[:, :2].sigmoid_()
            gates[:, 2].tanh_()
            gates[:, 3].sigmoid_()
            cell = torch.mul(gates[:, 1], self.cells[t], out=self.cells[t + 1])
            cell.addcmul_(gates[:, 0], gates[:, 2])
            torch.tanh(cell, out=self.bounded[t])
            torch.mul(gates[:, 3], self.bounded[t], out=out[t])
            if t + 1 < time:
                self.z[t + 1, :, states] = out[t]
        return out[-1] if self.only_last else out.transpose(0, 1)

    def backward(self, grad: Tensor, *, further: bool) -> Tensor:
        time, n, hidden = self.bounded.shape
        to_state = self.parameters[1]
        slopes, of_cell = self._slopes()
        self.d = d = torch.empty_like(slopes)
        state, cell = grad if self.only_last else grad[:, -1], grad.new_zeros(n, hidden)
        for t in reversed(range(time)):
            cell = torch.addcmul(cell, state, of_cell[t])
            torch.mul(slopes[t, :, :3], cell.unsqueeze(1), out=d[t, :, :3])
            torch.mul(slopes[t, :, 3], state, out=d[t, :, 3])
            if t:
                cell.mul_(self.gates[t, :, 1])
                state = torch.mm(d[t].view(n, 4 * hidden), to_state)
                if not self.only_last:
                    state.add_(grad[:, t - 1])
        self.d = d.flatten(2)
        return (self.d @ self.parameters[0]).transpose(0, 1) if further else grad

    def _slopes(self) -> tuple[Tensor, Tensor]:
        """How a change of cell or state moves each gate before its bend, and how a change of state moves the cell."""
        entering, _, candidate, leaving = self.gates.unbind(2)
        slopes = torch.empty_like(self.gates)
        # sigmoid' = s (1 - s) = s - s^2; tanh' = 1 - t^2
        torch.addcmul(self.gates[:, :, :2], self.gates[:, :, :2], self.gates[:, :, :2], value=-1, out=slopes[:, :, :2])
        slopes[:, :, 0].mul_(candidate)
        slopes[:, :, 1].mul_(self.cells[:-1])
        torch.addcmul(entering, entering * candidate, candidate, value=-1, out=slopes[:, :, 2])
        torch.addcmul(leaving, leaving, leaving, value=-1, out=slopes[:, :, 3]).mul_(self.bounded)
        return slopes, torch.addcmul(leaving, leaving * self.bounded, self.bounded, value=-1)

    def squared(self, *, apart: bool) -> list[Tensor]:
        z, d = self.z.transpose(0, 1), self.d.transpose(0, 1)
        if not apart:
            return [outer_squared(z, d, ones=1.0)]
        of_input, of_state = (outer_squared(z[:, :, columns], d) for columns in self.columns[:2])
        of_bias = self.d.sum(0).square_().sum(1)
        return [of_input, of_state, of_bias, of_bias]

    def clipped(self, factors: Sequence[Tensor], *, out: Sequence[Tensor]) -> None:
        rows = self.z.flatten(0, 1)
        if len(factors) == 1:
            scaled = (self.d * factors[0].unsqueeze(1)).flatten(0, 1)
            whole = scaled.t() @ rows
            for tensor, columns in zip(out, self.columns, strict=True):
                tensor.copy_(whole[:, columns].reshape(tensor.shape))
            return
        for tensor, factor, columns in zip(out, factors, self.columns, strict=True):
            scaled = (self.d * factor.unsqueeze(1)).flatten(0, 1)
            tensor.copy_((scaled.t() @ rows[:, columns]).reshape(tensor.shape))

    def forget(self, rows: Tensor) -> None:
        self.z = without(self.z.transpose(0, 1), rows).transpose(0, 1).contiguous()
        self.d = without(self.d.transpose(0, 1), rows).transpose(0, 1).contiguous()
