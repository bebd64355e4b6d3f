"""A platform that sends the institutions' real app whatever it likes, step by step, and opens what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from clients.app import app
from fedcredit.federation.admission import error_code
from fedcredit.federation.arrays import decode, encode, record_of
from fedcredit.federation.engine import to_record
from fedcredit.federation.grid import InProcessGrid
from fedcredit.federation.masked import Layout, model_sha256, plan_of, settings_sha256
from fedcredit.federation.messages import (
    AGREE,
    ARRAYS,
    CONFIG,
    CONFIRM,
    KEYS,
    MASKED,
    SECAGG,
    SHARES,
    SURVIVORS,
    UNMASK,
    WORDS,
    Task,
)
from fedcredit.privacy.secagg import (
    gather_deals,
    gather_signatures,
    gather_uploads,
    relay_capsules,
    relay_confirmations,
    relay_keys,
    start_round,
    unmask,
)
from fedcredit.privacy.secagg.encoding import Sum
from fedcredit.privacy.secagg.server_setup import Ready
from fedcredit.trust.roster import read_roster
from server.app import initial_arrays
from tests.conftest import Nodes


class Refused(Exception):
    """An institution answered with a code."""


class LyingPlatform:
    """One session of one task; every choice that the protocol leaves to a platform is an argument here."""

    def __init__(self, banks: Nodes, task: Task, *, roster: Path, session: str = "s1") -> None:
        self.grid = InProcessGrid(app, banks.configs)
        self.nodes = {str(config["institution"]): at for at, config in enumerate(banks.configs, start=1)}
        self.task, self.session = task, session
        assert task.masking is not None
        self.group = task.masking.groups[0]
        size = sum(value.size for value in initial_arrays(task).values())
        self.plan = plan_of(task, self.group, session=session, pinned=read_roster(roster), size=size)
        self.layout = Layout.of(task, self.group, size=size)
        self.ready: Ready | None = None
        self.confirmed: set[str] = set()
        self.said: dict[str, dict[str, bytes]] = {}  # to whom, by kind: the last message of the protocol

    def send(
        self,
        name: str,
        kind: str,
        said: bytes = b"",
        *,
        task: Task | None = None,
        arrays: ArrayRecord | None = None,
        **more: int,
    ) -> Message:
        """What that institution answers to any message at all. Raises Refused with its code."""
        config = (task or self.task).as_config(session=self.session, **more)
        config[SECAGG] = said
        self.said.setdefault(name, {})[kind] = said
        content = RecordDict({CONFIG: config} | ({} if arrays is None else {ARRAYS: arrays}))
        (reply,) = self.grid.send_and_receive([Message(content, self.nodes[name], kind)])
        if reply.has_error():
            raise Refused(error_code(reply))
        return reply

    def ask(self, kind: str, outbox: dict[str, bytes], *, task: Task | None = None, **more: int) -> dict[str, bytes]:
        """A message of the protocol to each, and the answers."""
        return {name: _bytes(self.send(name, kind, said, task=task, **more)) for name, said in outbox.items()}

    def set_up(self) -> None:
        """Keys, capsules and confirmations."""
        keyed = relay_keys(self.plan, self.ask(KEYS, dict.fromkeys(self.group, b"")))
        capsuled = relay_capsules(keyed, self.ask(AGREE, dict(keyed.outbox)))
        self.ready = relay_confirmations(capsuled, self.ask(CONFIRM, dict(capsuled.outbox)))

    def sum(
        self,
        *,
        arrays: ArrayRecord | None = None,
        number: int = 1,
        attempt: int = 1,
        cap: int = 96,
        without: Sequence[str] = (),
        signs_under: Task | None = None,
        **more: int,
    ) -> Sum:
        """The sum over all but who is left out, over any model; survivors are asked to sign under `signs_under`."""
        if self.ready is None:
            self.set_up()
        assert self.ready is not None
        asked = {name: said for name, said in self.ready.outbox.items() if name not in without}
        deals = {}
        for name, said in asked.items():
            first = int(name not in self.confirmed)
            deals |= self.ask(SHARES, {name: said}, confirms=first, attempt=attempt, **{"server-round": number})
            self.confirmed.add(name)
        cohort = gather_deals(self.ready, deals, round_=number, attempt=attempt)
        incoming = initial(self.task) if arrays is None else arrays
        more = {"cap": cap, "attempt": attempt, "server-round": number, **more}
        bound = settings_sha256(ConfigRecord({**self.task.as_config(session=self.session), **more}))
        started = start_round(cohort, model_sha256=model_sha256(incoming), settings_sha256=bound)
        replies = {}
        for name, said in started.outbox.items():
            reply = self.send(name, MASKED, said, arrays=incoming, **more)
            replies[name] = (_bytes(reply), decode(reply.content[ARRAYS][WORDS]))
        surviving = gather_uploads(started, replies)
        agreed = gather_signatures(surviving, self.ask(SURVIVORS, dict(surviving.outbox), task=signs_under))
        found = unmask(agreed, self.ask(UNMASK, dict(agreed.outbox)))
        return self.plan.encoding.decode(found.words)


def initial(task: Task) -> ArrayRecord:
    """The first model of the task, as it travels."""
    return to_record(initial_arrays(task))


def nudged(task: Task, by: float) -> ArrayRecord:
    """The first model, moved by next to nothing: another digest, and the same updates but for rounding."""
    return record_of(
        {name: encode(decode(array) + decode(array).dtype.type(by)) for name, array in initial(task).items()}
    )


def _bytes(reply: Message) -> bytes:
    said = reply.content[CONFIG][SECAGG]
    assert isinstance(said, bytes)
    return said
