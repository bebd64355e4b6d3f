"""Each company's gradient by slower ways than the kernel's: torch.func.vmap, Opacus's hooks, one company at a time."""

from __future__ import annotations

import copy
import warnings

import torch
from opacus import GradSampleModule
from opacus.validators import ModuleValidator
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import binary_cross_entropy_with_logits

from fedcredit.models.lstm import LSTM


def by_vmap(model: nn.Module, x: Tensor, y: Tensor) -> list[Tensor]:
    """Gradients (n, ...) of each parameter, in float64."""
    model = copy.deepcopy(model).double()
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def loss(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        if isinstance(model, LSTM):
            logit = lstm_logit(parameters, x, layers=model.body.num_layers)
        else:
            logit = functional_call(model, parameters, (x.unsqueeze(0),)).reshape(())
        return binary_cross_entropy_with_logits(logit, y)

    found = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, as_double(x), y.double())
    return [found[name] for name in parameters]


def lstm_logit(parameters: dict[str, Tensor], x: Tensor, *, layers: int) -> Tensor:
    """The logit of one window (time, features), written as in the documentation of nn.LSTM: vmap cannot enter that."""
    for layer in range(layers):
        of_input, of_state, bias, other = (
            parameters[f"body.{name}_l{layer}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        state = cell = x.new_zeros(of_state.shape[1])
        states = []
        for period in x:
            i, f, g, o = (of_input @ period + bias + of_state @ state + other).chunk(4)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            state = o.sigmoid() * cell.tanh()
            states.append(state)
        x = torch.stack(states)
    return (parameters["head.weight"] @ x[-1] + parameters["head.bias"]).squeeze(0)


def by_hooks(model: nn.Module, x: Tensor, y: Tensor) -> list[Tensor]:
    """Gradients (n, ...) of each parameter from Opacus's backward hooks, in float64."""
    with torch.random.fork_rng(devices=[]):
        names = [name for name, _ in model.named_parameters()]
        hooked = GradSampleModule(ModuleValidator.fix(copy.deepcopy(model)).double().train(), loss_reduction="sum")
    logits = hooked(as_double(x)).reshape(len(y))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Full backward hook is firing", category=UserWarning)
        binary_cross_entropy_with_logits(logits, y.double(), reduction="sum").backward()
    found = dict(hooked._module.named_parameters())
    return [found[name].grad_sample for name in names]


def clipped(gradients: list[Tensor], *, clip: float, per_layer: bool = False) -> Tensor:
    """The flat sum over companies of gradients shortened to `clip`, or each tensor to clip / sqrt(tensors)."""
    rows = [gradient.flatten(1) for gradient in gradients]
    if per_layer:
        clip, parts = clip / len(rows) ** 0.5, rows
    else:
        parts = [torch.cat(rows, dim=1)]
    factors = [(clip / part.norm(dim=1)).clamp(max=1.0) for part in parts]
    return torch.cat([factor @ part for factor, part in zip(factors, parts, strict=True)])


def norms(gradients: list[Tensor]) -> Tensor:
    """Length (n,) of each company's whole gradient."""
    return torch.cat([gradient.flatten(1) for gradient in gradients], dim=1).norm(dim=1)


def as_double(x: Tensor) -> Tensor:
    """Windows in float64; codes stay whole numbers."""
    return x.double() if x.is_floating_point() else x
