"""The train messages of a round become one masked sum: the platform sees the mean of the updates and none of them.

The protocol is that of privacy/secagg, whose messages ride in the config records of Flower's. Set-up takes three
messages once a run. A round takes two more than a plain one: its shares came with the round before. What the strategy
is given is one message for each sum, which holds the mean.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from numpy.typing import NDArray

from fedcredit.errors import FederationError
from fedcredit.federation.admission import error_code
from fedcredit.federation.collect import Collected
from fedcredit.federation.exchange import Exchange
from fedcredit.federation.masked import EVALUATES, model_sha256, settings_sha256
from fedcredit.federation.messages import (
    AGREE,
    ARRAYS,
    CONFIG,
    CONFIRM,
    DEAL,
    EXAMPLES,
    KEYS,
    METRICS,
    SECAGG,
    SHARES,
    SURVIVORS,
    UNMASK,
    Task,
)
from fedcredit.federation.opened import Opened
from fedcredit.federation.sums import MaskedSum, uploads_of
from fedcredit.privacy.secagg import (
    SecaggRefused,
    gather_deals,
    gather_signatures,
    gather_uploads,
    relay_capsules,
    relay_confirmations,
    relay_keys,
    start_round,
    unmask,
)

log = logging.getLogger(__name__)
ATTEMPTS = 2  # a sum that could not be opened is asked for once more, under new masks


class MaskedCollector:
    """One masked sum, or one for each bucket of institutions; `sums` come from the task and the pinned identities."""

    def __init__(self, exchange: Exchange, task: Task, sums: Sequence[MaskedSum]) -> None:
        self._exchange, self._task, self._sums = exchange, task, sums
        self._nodes = {name: node for node, name in exchange.names.items()}
        self._faults: dict[str, str] = {}
        self._missing: set[str] = set()

    def collect(self, number: int, messages: Sequence[Message], incoming: ArrayRecord) -> Collected:
        """The mean of each sum that could be opened; who was faulty or silent at any step of it."""
        self._faults, self._missing = {}, set()
        opened = self._open_all(number, messages, incoming, {})
        good = {one: found for one, found in opened.items() if found[0].arrays is not None}
        losses = [found.loss for found, _ in good.values() if found.loss is not None]
        return Collected(
            updates=[_as_reply(found, reply, examples=len(one.survivors)) for one, (found, reply) in good.items()],
            institutions=sorted(name for one in good for name in one.survivors),
            quarantined={name: why for name, why in sorted(self._faults.items()) if name not in self._missing},
            missing=sorted(self._missing),
            counts=_added([found.counts for found, _ in good.values()]),
            loss=float(np.mean(losses)) if losses else None,
        )

    def evaluate(self, number: int, messages: Sequence[Message]) -> NDArray[np.int64] | None:
        """Validation counts of the final model, themselves under masks."""
        if not messages:
            return None
        incoming = messages[0].content[ARRAYS]
        if not isinstance(incoming, ArrayRecord):
            raise FederationError("evaluate", found="no arrays", expected="the final model")
        opened = self._open_all(number, messages, incoming, {EVALUATES: 1})
        return _added([found.counts for found, _ in opened.values()])

    def collect_counts(self, number: int, messages: Sequence[Message]) -> Collected:
        """The counts of an evaluation, summed over all groups, or none; who was faulty or silent at any step of it."""
        self._faults, self._missing = {}, set()
        incoming = messages[0].content[ARRAYS] if messages else None
        opened = self._open_all(number, messages, incoming, {}) if isinstance(incoming, ArrayRecord) else {}
        return Collected(
            updates=[],
            institutions=sorted(name for one in opened for name in one.survivors),
            quarantined={name: why for name, why in sorted(self._faults.items()) if name not in self._missing},
            missing=sorted(self._missing),
            counts=_added([found.counts for found, _ in opened.values()]),
        )

    def _open_all(
        self, number: int, messages: Sequence[Message], incoming: ArrayRecord, more: Mapping[str, int]
    ) -> dict[MaskedSum, tuple[Opened, Message]]:
        configs = {self._exchange.names[m.metadata.dst_node_id]: m.content[CONFIG] for m in messages}
        found = {one: self._opened(one, number, configs, incoming, more) for one in self._sums}
        return {one: pair for one, pair in found.items() if pair is not None}

    def _opened(
        self,
        one: MaskedSum,
        number: int,
        configs: Mapping[str, ConfigRecord],
        incoming: ArrayRecord,
        more: Mapping[str, int],
    ) -> tuple[Opened, Message] | None:
        """The sum of one round, asked for again where it could not be opened; None if it cannot be."""
        for tried in range(ATTEMPTS):
            try:
                self._prepare(one, number)
                return self._round(one, configs, incoming, {**more, "deals": int(tried == 0)})
            except SecaggRefused as fault:
                log.warning("masked sum, round %d, attempt %d: %s", number, tried + 1, fault)
                one.forget()
        return None

    def _prepare(self, one: MaskedSum, number: int) -> None:
        """Set up where that has not been done, and have shares dealt where they did not ride on the round before."""
        if one.ready is None:
            keyed = relay_keys(one.plan, self._ask(KEYS, one, dict.fromkeys(one.group, b"")))
            capsuled = relay_capsules(keyed, self._ask(AGREE, one, keyed.outbox))
            one.ready = relay_confirmations(capsuled, self._ask(CONFIRM, one, capsuled.outbox))
        attempt, deals = one.dealt(number)
        # Who was away in the round before has dealt nothing for this one, and may be back.
        settled, names = one.settled
        wanted = names if settled == number else one.ready.outbox.keys()
        absent = {name: said for name, said in one.ready.outbox.items() if name in wanted and name not in deals}
        if absent:
            more = {"server-round": number, "attempt": attempt}
            deals |= self._ask(SHARES, one, absent, first=absent.keys() - one.confirmed, **more)
            one.confirmed |= deals.keys()
        one.cohort = gather_deals(one.ready, deals, round_=number, attempt=attempt)

    def _round(
        self, one: MaskedSum, configs: Mapping[str, ConfigRecord], incoming: ArrayRecord, more: Mapping[str, int]
    ) -> tuple[Opened, Message]:
        cohort = one.cohort
        if cohort is None:
            raise FederationError("masked sum", found="no shares", expected="those of this round")
        asked = {**next(iter(configs.values())), **one.settings, **more}
        asked |= {"server-round": cohort.round, "attempt": cohort.attempt}
        bound = settings_sha256(ConfigRecord(asked))
        model = one.bound_model(model_sha256(incoming), number=cohort.round)
        started = start_round(cohort, model_sha256=model, settings_sha256=bound)
        replies = self._send(
            [
                Message(
                    RecordDict({ARRAYS: incoming, CONFIG: ConfigRecord({**asked, SECAGG: start})}),
                    self._nodes[name],
                    one.kind,
                )
                for name, start in started.outbox.items()
                if name in configs
            ]
        )
        surviving = gather_uploads(started, uploads_of(replies, one.plan.encoding, self._faults))
        one.settled = (cohort.round, surviving.survivors)
        agreed = gather_signatures(surviving, self._ask(SURVIVORS, one, surviving.outbox))
        unmasked = unmask(agreed, self._ask(UNMASK, one, agreed.outbox))
        for faults in (surviving.faults, agreed.faults, unmasked.faults):
            self._faults |= {name: fault.code for name, fault in faults.items()}
        one.survivors = unmasked.survivors
        one.deal(cohort.round + 1, {name: said for name, reply in replies.items() if (said := _bytes_of(reply, DEAL))})
        return one.open(unmasked.words, incoming=incoming), replies[unmasked.survivors[0]]

    def _ask(
        self,
        kind: str,
        one: MaskedSum,
        outbox: Mapping[str, bytes],
        *,
        first: Collection[str] = (),
        **more: int,
    ) -> dict[str, bytes]:
        """A message of the protocol to each, and what they answered; `first` have not seen the others' proofs yet."""
        messages = []
        self._missing |= outbox.keys() - self._nodes.keys()  # of the group, but not there when the run began
        for name, said in outbox.items():
            if name not in self._nodes:
                continue
            config = self._task.as_config(**one.settings, **more, confirms=int(name in first))
            config[SECAGG] = said
            messages.append(Message(RecordDict({CONFIG: config}), self._nodes[name], kind))
        replies = self._send(messages)
        return {name: found for name, reply in replies.items() if (found := _bytes_of(reply, SECAGG))}

    def _send(self, messages: Sequence[Message]) -> dict[str, Message]:
        """Replies of those that are free, in the order of names; who failed or was late is remembered."""
        free = set(self._exchange.free())
        replies, missing = self._exchange.send([m for m in messages if m.metadata.dst_node_id in free])
        self._missing |= set(missing)
        self._faults |= {name: error_code(reply) for name, reply in replies.items() if reply.has_error()}
        return {name: replies[name] for name in sorted(replies) if not replies[name].has_error()}


def _as_reply(found: Opened, reply: Message, *, examples: int) -> Message:
    """The mean as the strategy takes it; of several buckets each counts by its institutions."""
    arrays = found.arrays if found.arrays is not None else ArrayRecord()
    reply.content = RecordDict({ARRAYS: arrays, METRICS: MetricRecord({EXAMPLES: examples})})
    return reply


def _bytes_of(reply: Message, key: str) -> bytes:
    config = reply.content.get(CONFIG) if reply.has_content() else None
    said = config.get(key) if isinstance(config, ConfigRecord) else None
    return said if isinstance(said, bytes) else b""


def _added(counts: Sequence[NDArray[np.int64] | None]) -> NDArray[np.int64] | None:
    found = [sides for sides in counts if sides is not None]
    return np.sum(found, axis=0, dtype=np.int64) if found else None
