"""A torch module becomes the chain of taps that computes the same, or the name of the layer that has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from torch import nn

from fedcredit.errors import ModelError
from fedcredit.models.logistic import Logistic
from fedcredit.models.lstm import LSTM
from fedcredit.models.mlp import MLP
from fedcredit.privacy import taps_bare
from fedcredit.privacy.randomness import Stream
from fedcredit.privacy.taps import Linear, Tap
from fedcredit.privacy.taps_lstm import LSTMLayer
from fedcredit.privacy.taps_other import Embedding, LayerNorm


class UnknownLayer(ModelError):
    """The kernel has no tap for a layer, or the model is no chain of layers."""

    code = "layer"


def unknown(layer: str, *, why: str = "a layer that the kernel does not know") -> UnknownLayer:
    """The error for a layer of this class."""
    return UnknownLayer(f"layer {layer}", found=why, expected="linear, lstm, layer norm, embedding or a chain of them")


def chain_of(model: nn.Module, *, random: Stream) -> list[Tap]:
    """Taps that share the model's parameters, first layer first; dropout draws from `random`.

    Only exact classes count: a subclass may compute something else. So does a layer with hooks.

    Raises:
        UnknownLayer: a layer, or a setting of one, is not supported; or two layers share a parameter.
    """
    chain = list(_taps(model, random))
    ours = Counter(id(parameter) for tap in chain for parameter in tap.parameters)
    if ours != Counter(id(parameter) for parameter in model.parameters()):
        raise unknown(type(model).__name__, why="a parameter that layers share or that is in none")
    if any(not parameter.requires_grad for parameter in model.parameters()):
        raise unknown(type(model).__name__, why="a parameter that is not trained")
    if len({parameter.dtype for parameter in model.parameters()}) != 1:
        raise unknown(type(model).__name__, why="no parameters, or parameters of several types")
    return chain


def _taps(module: nn.Module, random: Stream) -> Iterator[Tap]:
    kind = type(module)
    if any((module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)):
        raise unknown(kind.__name__, why="hooks")
    if isinstance(module, nn.Sequential) and kind is nn.Sequential:
        for inner in module:
            yield from _taps(inner, random)
    elif isinstance(module, (Logistic, MLP)) and kind in (Logistic, MLP):
        yield taps_bare.Flatten()
        for inner in [module.head] if kind is Logistic else [module.body, module.head]:
            yield from _taps(inner, random)
    elif isinstance(module, LSTM) and kind is LSTM:
        yield from _lstm_layers(module.body, random)
        yield from _taps(module.dropout, random)
        yield from _taps(module.head, random)
    elif isinstance(module, nn.Dropout) and kind is nn.Dropout:
        if module.p:
            yield taps_bare.Dropout(module.p, random=random)
    else:
        yield _single(module)


def _lstm_layers(lstm: nn.LSTM, random: Stream) -> Iterator[Tap]:
    if lstm.bidirectional or lstm.proj_size or not lstm.batch_first or not lstm.bias:
        raise unknown("LSTM", why="two directions, projections, no bias or time first")
    for layer in range(lstm.num_layers):
        is_last = layer == lstm.num_layers - 1
        yield LSTMLayer(lstm, layer=layer, only_last=is_last)
        if lstm.dropout and not is_last:
            yield taps_bare.Dropout(lstm.dropout, random=random)


def _single(layer: nn.Module) -> Tap:
    kind = type(layer)
    if isinstance(layer, nn.Linear) and kind is nn.Linear:
        return Linear(layer)
    if isinstance(layer, nn.LayerNorm) and kind is nn.LayerNorm:
        if len(layer.normalized_shape) == 1 and layer.elementwise_affine:
            return LayerNorm(layer)
    elif isinstance(layer, nn.Embedding) and kind is nn.Embedding:
        if layer.max_norm is None and not layer.scale_grad_by_freq and not layer.sparse:
            return Embedding(layer)
    elif kind is nn.ReLU:
        return taps_bare.ReLU()
    elif kind is nn.Tanh:
        return taps_bare.Tanh()
    elif isinstance(layer, nn.Flatten) and kind is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1):
        return taps_bare.Flatten()
    raise unknown(kind.__name__)
