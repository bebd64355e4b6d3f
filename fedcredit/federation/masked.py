"""A task becomes what both sides of a masked sum must agree on: the numbers in it, and what its masks are bound to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord
from numpy.typing import NDArray

from fedcredit.errors import ConfigError
from fedcredit.federation.messages import DEAL, SCORE_BINS, SECAGG, Task
from fedcredit.privacy.secagg import Counts, Encoding, Plan, Roster
from fedcredit.privacy.weights import WEIGHT_ONE
from fedcredit.trust.keys import PublicIdentity

WEIGHT, GOOD, BAD = "weight", "validation-good", "validation-bad"
EVALUATES = "evaluates"  # in the config: score the model, train nothing
MAX_SESSION = 64
# A sum of clipped gradients with its noise may be as large as the clip of that many companies; the grid is then 2^-36
# of the clip or finer, which leaves room for noise from far below to a thousand times the clip.
COMPANIES_IN_SUM = 2**16


@dataclass(frozen=True)
class Layout:
    """What stands in the masked vector: the parameters, the loss where it may be known, the weight, validation counts.

    members: institutions in the sum. size: numbers of the model. has_loss: not under privacy.
    limit: the largest number; the task's for updates, and COMPANIES_IN_SUM clips for noisy sums of gradients.
    """

    members: int
    size: int
    limit: float
    is_distributed: bool
    has_loss: bool
    has_counts: bool

    @staticmethod
    def of(task: Task, group: Sequence[str], *, size: int) -> Layout:
        """The layout of the task's sum over the group."""
        if task.masking is None:
            raise ConfigError("task.masking", found="none", expected="the groups of the masked sums")
        terms = task.privacy
        is_distributed = terms is not None and terms.noise == "distributed"
        return Layout(
            members=len(group),
            size=size,
            limit=terms.clip * COMPANIES_IN_SUM if terms is not None and is_distributed else task.masking.limit,
            is_distributed=is_distributed,
            has_loss=task.privacy is None,
            has_counts=task.metrics == "exact",
        )

    @property
    def encoding(self) -> Encoding:
        """Whole numbers of 32 bits; of 64 where noise has to be much finer than the numbers are large."""
        bits = 64 if self.is_distributed else 32
        largest = (2**bits - 1) // self.members if bits == 32 else 2**40
        counts = [Counts(WEIGHT, 1, largest if self.is_distributed else WEIGHT_ONE)]
        if self.has_counts:
            counts += [Counts(GOOD, SCORE_BINS, largest), Counts(BAD, SCORE_BINS, largest)]
        return Encoding(self.size + self.has_loss, self.limit, self.members, tuple(counts), bits)


def plan_of(task: Task, group: Sequence[str], *, session: str, pinned: Mapping[str, PublicIdentity], size: int) -> Plan:
    """The plan of one set-up: the run with a session's name, since a run that goes on after a crash sets up anew.

    Raises:
        ConfigError: an institution of the group is not pinned, or the session's name is too long.
        SecaggRefused: too few institutions, or numbers that do not fit.
    """
    schema = hashlib.sha256(task.to_json().encode()).digest()
    encoding = Layout.of(task, group, size=size).encoding
    return named_plan(task.run, group, session=session, pinned=pinned, schema=schema, encoding=encoding)


def named_plan(
    run: str,
    group: Sequence[str],
    *,
    session: str,
    pinned: Mapping[str, PublicIdentity],
    schema: bytes,
    encoding: Encoding,
) -> Plan:
    """The plan of one set-up of a run, over institutions that are named.

    Raises:
        ConfigError: an institution of the group is not pinned, or the session's name is too long.
        SecaggRefused: too few institutions, or numbers that do not fit.
    """
    unknown = sorted(set(group) - pinned.keys())
    if unknown:
        hint = "its identity comes with the roster that the officers signed"
        raise ConfigError("roster", found=f"no identity of {unknown[0]!r}", expected="one for each", hint=hint)
    if len(session) > MAX_SESSION:
        raise ConfigError("session", found=f"{len(session)} letters", expected=f"at most {MAX_SESSION}")
    return Plan(f"{run}/{session}", Roster({name: pinned[name] for name in group}), schema, encoding)


def model_sha256(arrays: ArrayRecord) -> bytes:
    """Digest of the global model: names, shapes, types and numbers. One model in another order has no other digest."""
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(json.dumps([name, array.dtype, list(array.shape), len(array.data)]).encode())
        found.update(array.data)
    return found.digest()


def settings_sha256(config: ConfigRecord) -> bytes:
    """Digest of everything else that a message of a round asks for."""
    asked = {key: value for key, value in config.items() if key not in (SECAGG, DEAL)}
    return hashlib.sha256(json.dumps(asked, sort_keys=True, ensure_ascii=False).encode()).digest()


def flattened(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """All numbers of a model in a row, in the order of the record."""
    return np.concatenate([np.asarray(value, dtype=np.float64).ravel() for value in arrays.values()])


def unflattened(row: NDArray[np.float64], like: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
    """The row cut into arrays of the shapes of `like`."""
    found, at = {}, 0
    for name, value in like.items():
        found[name] = row[at : at + value.size].reshape(value.shape)
        at += value.size
    return found
