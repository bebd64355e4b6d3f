"""One masked sum as the platform keeps it between rounds: whose it is, its set-up, and the shares of the next round."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message

from fedcredit.errors import FederationError
from fedcredit.federation.arrays import decode, encode
from fedcredit.federation.cohort import Member
from fedcredit.federation.masked import Layout, plan_of
from fedcredit.federation.messages import ARRAYS, CONFIG, MASKED, SECAGG, WORDS, Task
from fedcredit.federation.opened import Opened, open_sum
from fedcredit.privacy.secagg import Encoding, Plan
from fedcredit.privacy.secagg.encoding import Words
from fedcredit.privacy.secagg.plan import least
from fedcredit.privacy.secagg.server_setup import Cohort, Ready
from fedcredit.privacy.weights import cap_for
from fedcredit.trust.keys import PublicIdentity


@dataclass(eq=False)
class MaskedSum:
    """The sum over one group of institutions. A run that goes on after a crash, or has to set up again, makes new keys.

    cap: the number of rows or companies from which on an institution weighs no more. kind: of the message that brings
    the masked words.
    """

    kind: ClassVar[str] = MASKED

    task: Task
    group: tuple[str, ...]
    pinned: Mapping[str, PublicIdentity]
    size: int
    cap: int
    session: str = field(default_factory=lambda: secrets.token_hex(8))
    ready: Ready | None = None
    confirmed: set[str] = field(default_factory=set)
    cohort: Cohort | None = None
    survivors: tuple[str, ...] = ()
    settled: tuple[int, tuple[str, ...]] = (0, ())  # of a round, who was put up for signing: a retry is of the same
    _deals: tuple[int, dict[str, bytes]] = (0, {})
    _asked: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.plan: Plan = plan_of(self.task, self.group, session=self.session, pinned=self.pinned, size=self.size)

    @property
    def settings(self) -> dict[str, int | str]:
        """What every message of this sum says besides the task."""
        return {"session": self.session, "cap": self.cap}

    def bound_model(self, model_sha256: bytes, *, number: int) -> bytes:
        """What masks are bound to, and sums held against each other by: here, the global model."""
        return model_sha256

    def open(self, words: Words, *, incoming: ArrayRecord) -> Opened:
        """What the opened words say. Raises EncodingRefused: they are no sum."""
        return open_sum(words, Layout.of(self.task, self.group, size=self.size), task=self.task, incoming=incoming)

    def deal(self, number: int, deals: dict[str, bytes]) -> None:
        """Keep the shares of round `number` that rode on the round before."""
        self._deals = (number, deals)

    def dealt(self, number: int) -> tuple[int, dict[str, bytes]]:
        """An attempt at round `number` with the shares that are there for it: those that rode along are of attempt 0.

        Where none are, the attempt is one for which shares were never asked.
        """
        if self._deals[0] == number and self._deals[1]:
            return 0, dict(self._deals[1])
        self._asked[number] = self._asked.get(number, 0) + 1
        return self._asked[number], {}

    def forget(self) -> None:
        """Leave the shares of a round that failed; where even the set-up failed, that is begun again by new names."""
        self._deals = (0, {})
        if not self.confirmed:
            self.ready = None
            self.session = secrets.token_hex(8)
            self.__post_init__()


def sums_of(
    task: Task, members: Sequence[Member], *, pinned: Mapping[str, PublicIdentity], size: int
) -> list[MaskedSum]:
    """The task's masked sums over the institutions that are there.

    Raises:
        FederationError: an institution of the run is in no group.
    """
    groups = task.masking.groups if task.masking is not None else ()
    there = {member.institution: member for member in members}
    homeless = sorted(there.keys() - {name for group in groups for name in group})
    if homeless:
        raise FederationError("masking.groups", found=f"none with {homeless[0]!r}", expected="every institution in one")
    found = []
    for group in groups:
        sizes = {n: there[n].rows if task.privacy is None else there[n].companies for n in group if n in there}
        dropouts = max(len(sizes) - least_of(task, group), 0)  # a sum of any that may be left keeps the bound
        found.append(MaskedSum(task, group, pinned, size, cap_for(sizes, dropouts=dropouts)))
    return found


def least_of(task: Task, group: Sequence[str]) -> int:
    """How few institutions may be in a sum of the group's that is opened."""
    is_shared = task.privacy is not None and task.privacy.noise == "distributed"
    counted_on = len(group) - task.privacy.dropouts if task.privacy is not None and is_shared else 0
    return max(least(len(group)), counted_on)


def uploads_of(
    replies: Mapping[str, Message], encoding: Encoding, faults: dict[str, str]
) -> dict[str, tuple[bytes, Words]]:
    """Headers and masked words by institution; whose are of another form is noted in `faults`."""
    wanted = encode(np.zeros(encoding.length, dtype=encoding.dtype))
    header = wanted.data[: len(wanted.data) - encoding.length * np.dtype(encoding.dtype).itemsize]
    found = {}
    for name, reply in replies.items():
        arrays, config = reply.content.get(ARRAYS), reply.content.get(CONFIG)
        words = arrays.get(WORDS) if isinstance(arrays, ArrayRecord) else None
        said = config.get(SECAGG) if isinstance(config, ConfigRecord) else None
        # As at the admission gate: numpy's parser is not shown a header of a stranger's.
        is_wanted = (
            words is not None
            and len(words.data) == len(wanted.data)
            and words.data.startswith(header)
            and (words.dtype, tuple(words.shape), words.stype) == (wanted.dtype, tuple(wanted.shape), wanted.stype)
        )
        if is_wanted and words is not None and isinstance(said, bytes):
            found[name] = (said, decode(words))
        else:
            faults[name] = "masked-form"
    return found
