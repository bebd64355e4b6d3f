"""Personal models: a body that is shared with a head that stays home, and fine-tuning after the last round.

Shared body, local head: FedPer (Arivazhagan et al. 2019, arXiv 1912.00818) with head and body trained together.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fedcredit.errors import TableError
from fedcredit.federation.messages import Task
from fedcredit.models.train import fit

Share = Literal["all", "body"]
PERSONAL_FILE = "personal.safetensors"


def shared(model: nn.Module, *, share: Share) -> dict[str, Tensor]:
    """The arrays that travel, under their plain names.

    >>> from fedcredit.models.build import ModelSettings, build
    >>> model = build(ModelSettings("mlp", hidden=2), features=("debt",), time=1, seed=0)
    >>> [name for name in shared(model, share="body")]
    ['body.0.weight', 'body.0.bias']
    """
    state = model.state_dict()
    return {name: value for name, value in state.items() if share == "all" or name.startswith("body.")}


def load_shared(model: nn.Module, arrays: Mapping[str, NDArray[Any]], *, share: Share) -> None:
    """Put the arrays that came in where they belong.

    Raises:
        TableError: names or shapes are not those of the model.
    """
    wanted = shared(model, share=share)
    if arrays.keys() != wanted.keys() or any(arrays[name].shape != value.shape for name, value in wanted.items()):
        raise TableError("global model", found="other names or shapes", expected="those of the task's model")
    with torch.no_grad():
        for name, value in wanted.items():
            value.copy_(torch.from_numpy(arrays[name].copy()))


def load_head(folder: Path, model: nn.Module, *, share: Share, before: int) -> None:
    """The institution's own head as it was after the last round before round `before`, if it has one."""
    if share == "all":
        return
    heads = [path for path in sorted(folder.glob("head-*.safetensors")) if _round_of(path) < before]
    if heads:
        model.load_state_dict(load_file(heads[-1]), strict=False)


def keep_head(folder: Path, model: nn.Module, *, share: Share, number: int) -> None:
    """Keep the head of round `number`; the one before stays too, for a round that is run again."""
    if share == "all":
        return
    head = {name: value for name, value in model.state_dict().items() if name.startswith("head.")}
    _write(folder / f"head-{number:05d}.safetensors", head)
    for path in folder.glob("head-*.safetensors"):
        if _round_of(path) < number - 1:
            path.unlink()


def fine_tune(model: nn.Module, x: Tensor, y: Tensor, *, task: Task, generator: torch.Generator) -> None:
    """Train the global model further on own rows, held near it by `task.personal_mu` (mu/2 * squared distance)."""
    if task.personal is not None:
        fit(model, x, y, settings=task.personal, generator=generator, proximal_mu=task.personal_mu)


def keep_model(folder: Path, model: nn.Module) -> None:
    """Keep the personal model; it never leaves the institution."""
    _write(folder / PERSONAL_FILE, model.state_dict())


def load_model(folder: Path, model: nn.Module) -> None:
    """Load what `keep_model` kept."""
    model.load_state_dict(load_file(folder / PERSONAL_FILE))


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    draft = path.with_suffix(".draft")
    save_file({name: value.contiguous() for name, value in tensors.items()}, draft)
    draft.replace(path)


def _round_of(path: Path) -> int:
    return int(path.stem.removeprefix("head-"))
