"""A message becomes the task that it brings, checked against what this institution allows, and a model to start at."""

from __future__ import annotations

import copy
import functools

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message
from torch import Tensor, nn

from clients.consent import permit
from clients.egress import outside, outsides
from clients.institution import Institution, institution_of
from fedcredit.data.governance.gate import Block
from fedcredit.data.governance.levels import refuse_plain
from fedcredit.errors import ConfigError, PolicyRefused, TableError
from fedcredit.federation import personal
from fedcredit.federation.arrays import decode, encode
from fedcredit.federation.masked import Layout
from fedcredit.federation.messages import (
    ARRAYS,
    CONFIG,
    COUNTING,
    EVALUATE,
    MASKED,
    MAX_ROUND,
    TRAIN,
    WORDS,
    Task,
)
from fedcredit.models.build import ModelSettings, build

MAX_MU = 1e6


def open_task(message: Message, context: Context) -> tuple[Institution, Task, int]:
    """The institution, the task and the number of the round; refused before a row is touched.

    Raises:
        PolicyRefused, TableError, ConfigError: the task asks for more than the operator allows, or fits no table here;
            of an institution with a policy, AskRefused says which of its rules.
    """
    torch.set_num_threads(1)
    config = message.content[CONFIG]
    if not isinstance(config, ConfigRecord):
        raise TableError("message", found="no config record", expected="a task")
    here, task = institution_of(context), Task.from_config(config)
    permit(message, context, here, task)
    if task.features != here.features:
        raise TableError("task.features", found="another feature list", expected="the institution's own")
    if task.privacy is not None and task.metrics == "exact" and not here.allows_exact_metrics:
        raise PolicyRefused("task.metrics", found="exact, under privacy", expected="none", hint="the operator decides")
    kind = message.metadata.message_type
    if kind in (TRAIN, MASKED, *COUNTING) or (kind == EVALUATE and task.metrics == "exact"):
        is_private = task.metrics == "noised" if kind in COUNTING else task.privacy is not None
        is_private &= task.metrics != "exact"
        refuse_plain(here.level, what="task", is_private=is_private, is_open=here.is_open)
        here.ceilings.check_sum(len(here.group_of(task)))
    here.bind(task)
    return here, task, round_of(config)


def refuse_in_the_clear(task: Task) -> None:
    """Refuse to answer a task of masked sums by an update or by counts of this institution alone."""
    if task.masking is not None:
        hint = "under masks, updates and counts leave by train.masked and query.masked only"
        raise PolicyRefused("message", found="one in the clear, for a masked task", expected=MASKED, hint=hint)


def round_of(config: ConfigRecord) -> int:
    """The number of the round, 0 where there is none."""
    number = config.get("server-round", 0)
    if not isinstance(number, int) or not 0 <= number <= MAX_ROUND:
        raise ConfigError("server-round", found="another value", expected=f"0 to {MAX_ROUND}")
    return number


def receive(message: Message, task: Task, *, here: Institution) -> nn.Module:
    """The task's model with the arrays that came in and, where heads stay at home, the institution's own head."""
    model, initial = resident(task.model, features=task.features, time=task.time, seed=task.seed)
    arrays = message.content[ARRAYS]
    if not isinstance(arrays, ArrayRecord):
        raise TableError("message", found="no arrays", expected="the global model")
    if task.share == "body":
        model.load_state_dict(initial)
    personal.load_shared(model, {name: decode(array) for name, array in arrays.items()}, share=task.share)
    number = round_of(message.content[CONFIG])
    personal.load_head(here.folder(task.run), model, share=task.share, before=number)
    return model


@functools.lru_cache(maxsize=8)
def resident(
    settings: ModelSettings, *, features: tuple[str, ...], time: int, seed: int
) -> tuple[nn.Module, dict[str, Tensor]]:
    """A model that all messages train in turn, and its initial weights; a process handles one message at a time.

    Building a small model anew, or copying it, takes as long as several of its training steps.
    """
    model = build(settings, features=features, time=time, seed=seed)
    return model, copy.deepcopy(model.state_dict())


@functools.lru_cache(maxsize=8)
def outside_plain(task: Task) -> dict[str, Block]:
    """What the arrays of the task's model look like, all but their values."""
    model, _ = resident(task.model, features=task.features, time=task.time, seed=task.seed)
    return outsides(personal.shared(model, share=task.share))


def outside_masked(task: Task, here: Institution, kind: str) -> dict[str, Block]:
    """What a masked vector looks like, all but its words; of other messages nothing."""
    group = task.masking.group_of(here.name) if task.masking is not None and kind == MASKED else None
    if group is None:
        return {}
    encoding = Layout.of(task, group, size=size_of(task)).encoding
    return {WORDS: outside(encode(np.zeros(encoding.length, dtype=encoding.dtype)))}


def size_of(task: Task) -> int:
    """How many numbers of the task's model travel."""
    model, _ = resident(task.model, features=task.features, time=task.time, seed=task.seed)
    return sum(value.numel() for value in personal.shared(model, share=task.share).values())


def proximal_mu(message: Message) -> float:
    """FedProx's pull to the global model, 0 where the strategy has none."""
    value = message.content[CONFIG].get("proximal-mu", 0.0)
    if not isinstance(value, int | float) or not 0 <= value <= MAX_MU:
        raise ConfigError("proximal-mu", found="another value", expected=f"0 to {MAX_MU:g}")
    return float(value)
