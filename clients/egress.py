"""A Flower reply becomes what the gate looks at, and leaves only if the gate lets it; an error leaves as a code."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from flwr.app import Array, Error, Message
from torch import Tensor

from clients.institution import Institution
from fedcredit.data.governance.gate import Block, Node, check, check_error
from fedcredit.errors import EgressRefused
from fedcredit.federation.arrays import encode
from fedcredit.federation.champion import CHAMPION
from fedcredit.federation.messages import COUNTING, EXAMPLES, MASKED, TRAIN, Task

CLIENT_APP_RAISED = 2  # flwr's error code for an exception in a ClientApp


def pass_reply(reply: Message, *, to: Message, here: Institution, task: Task, arrays: Mapping[str, Block]) -> Message:
    """A reply of the same content, once the gate has passed it; `arrays` are those of the task's model that travel.

    Raises:
        EgressRefused: see `gate.check`.
    """
    records = {
        name: {key: outside(value) if isinstance(value, Array) else value for key, value in record.items()}
        for name, record in reply.content.items()
    }
    check(to.metadata.message_type, records, node=_node(to.metadata.message_type, here, task, arrays))
    return Message(reply.content, reply_to=to)  # with metadata made from the question alone


def known_code(code: str) -> str:
    """The code, if it is one of ours; another says no more than that something failed."""
    try:
        check_error(CLIENT_APP_RAISED, code)
    except EgressRefused:
        return "internal"
    return code


def refusal(code: str, message: Message) -> Message:
    """The error reply with this code, if it is one of ours."""
    return Message(Error(CLIENT_APP_RAISED, known_code(code)), reply_to=message)


def outside(array: Array) -> Block:
    """An array without its values. Its header is whatever does not belong to them, so bytes beside them show."""
    try:
        size = math.prod(array.shape) * np.dtype(array.dtype).itemsize
    except (TypeError, ValueError):  # a type that numpy does not know
        size = 0
    header = array.data[: len(array.data) - size] if size <= len(array.data) else array.data
    return Block(array.dtype, tuple(array.shape), array.stype, header)


def outsides(parameters: Mapping[str, Tensor]) -> dict[str, Block]:
    """What the model's own parameters look like when they travel."""
    return {name: outside(encode(value.numpy())) for name, value in parameters.items()}


def _node(kind: str, here: Institution, task: Task, arrays: Mapping[str, Block]) -> Node:
    terms, is_counting = task.privacy, kind in COUNTING
    companies, rows = here.sizes(task) if kind != CHAMPION else (0, 0)  # it says nothing of any row
    constants: dict[str, str | int | float] = {
        "institution": here.name,
        "schema-sha256": here.schema_sha256,
        "label-definition": here.label_definition,
        "companies": companies,
        "rows": rows,
        EXAMPLES: len(here.train) if terms is None else here.companies,
        "validation-good": len(here.validation) - here.validation_bad,
        "validation-bad": here.validation_bad,
        "delta": 0.0 if terms is None else terms.delta,
    }
    return Node(
        constants,
        arrays=arrays,
        level=here.level,
        is_open=here.is_open,
        is_private=task.metrics == "noised" if is_counting else terms is not None,
        is_charged=here.has_charged_counts(task) if is_counting else kind in (TRAIN, MASKED) and here.has_charged(task),
        names=here.names,
    )
