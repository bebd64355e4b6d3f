"""A federation in memory whose server can lie and whose institutions can drop out, come back, restart and replay.

    federation = Federation.of(identities, 5).set_up()
    sums = federation.round(1).sum                          # everybody honest
    federation.round(1, after_upload={"ada"})               # ada is gone once its upload is in

To lie, call the steps one by one and change what lies between them: `outbox` is what the honest server would send.
Every institution keeps its own store; `restart` makes a new session over it, as a process does that was killed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fedcredit.privacy.secagg import (
    ClientSession,
    Counts,
    Encoding,
    Plan,
    Roster,
    Store,
    gather_deals,
    gather_signatures,
    gather_uploads,
    relay_capsules,
    relay_confirmations,
    relay_keys,
    start_round,
    unmask,
)
from fedcredit.privacy.secagg.encoding import Sum, Words
from fedcredit.privacy.secagg.server_round import Agreed, Started, Surviving
from fedcredit.privacy.secagg.server_setup import Cohort, Ready
from fedcredit.privacy.secagg.unmasking import Unmasked
from fedcredit.trust.keys import Identity

Identities = Mapping[str, Identity]
MODEL, OTHER_MODEL, SETTINGS = b"m" * 32, b"M" * 32, b"s" * 32
NOBODY: frozenset[str] = frozenset()


def vector(name: str, size: int) -> NDArray[np.float64]:
    """The institution's update: always the same, within [-1, 1]."""
    return np.random.default_rng(list(name.encode())).uniform(-1, 1, size)


@dataclass
class Federation:
    """Institutions with their sessions and stores, and an honest server's state after the set-up."""

    plan: Plan
    identities: Identities
    stores: dict[str, Store] = field(default_factory=dict)
    sessions: dict[str, ClientSession] = field(default_factory=dict)
    ready: Ready | None = None

    @classmethod
    def of(cls, identities: Identities, count: int, *, size: int = 8, run_id: str = "run-1") -> Federation:
        """The first `count` of the institutions, with nothing done yet."""
        chosen = dict(list(identities.items())[:count])
        encoding = Encoding(size, 1.0, count, (Counts("companies", 1, 10_000),))
        plan = Plan(run_id, Roster({name: identity.public for name, identity in chosen.items()}), b"x" * 32, encoding)
        federation = cls(plan, chosen, {name: Store() for name in chosen})
        for name in chosen:
            federation.restart(name)
        return federation

    def restart(self, name: str) -> None:
        """The institution's process is killed and starts again over what is on its disk."""
        self.sessions[name] = ClientSession(self.plan, name, self.identities[name], self.stores[name])

    def set_up(self, *, before_keys: Collection[str] = NOBODY, before_capsules: Collection[str] = NOBODY) -> Self:
        """All of the set-up, without those who drop out before their keys or their capsules."""
        offers = {name: session.offer_keys() for name, session in self.sessions.items() if name not in before_keys}
        keyed = relay_keys(self.plan, offers)
        left = {name: message for name, message in keyed.outbox.items() if name not in before_capsules}
        capsuled = relay_capsules(keyed, {name: self.sessions[name].encapsulate(left[name]) for name in left})
        macs = {name: self.sessions[name].agree(message) for name, message in capsuled.outbox.items()}
        self.ready = relay_confirmations(capsuled, macs)
        for name, message in self.ready.outbox.items():
            self.sessions[name].confirm(message)
        return self

    def deal(self, round_: int, *, attempt: int = 0, without: Collection[str] = NOBODY) -> Cohort:
        """Step 5: who is in the round."""
        assert self.ready is not None
        names = [name for name in self.ready.outbox if name not in without]
        deals = {name: self.sessions[name].deal(round_, attempt=attempt) for name in names}
        return gather_deals(self.ready, deals, round_=round_, attempt=attempt)

    def start(self, cohort: Cohort, *, model: bytes = MODEL) -> Started:
        """Step 6, down."""
        return start_round(cohort, model_sha256=model, settings_sha256=SETTINGS)

    def encoded(self, name: str) -> Words:
        """The institution's update, encoded, with the number of its companies."""
        return self.plan.encoding.encode(vector(name, self.plan.encoding.size), {"companies": 10 * len(name)})

    def upload(self, name: str, started: Started, *, model: bytes = MODEL) -> tuple[bytes, Words]:
        """Step 6, up, of one institution."""
        session = self.sessions[name]
        return session.upload(
            started.outbox[name], model_sha256=model, settings_sha256=SETTINGS, encoded=self.encoded(name)
        )

    def uploads(self, started: Started, *, without: Collection[str] = NOBODY, model: bytes = MODEL) -> Surviving:
        """Step 6, up, of all of the cohort but some."""
        names = [name for name in started.outbox if name not in without]
        return gather_uploads(started, {name: self.upload(name, started, model=model) for name in names})

    def signatures(self, surviving: Surviving, *, without: Collection[str] = NOBODY) -> Agreed:
        """Step 7."""
        asked = {name: message for name, message in surviving.outbox.items() if name not in without}
        return gather_signatures(surviving, {n: self.sessions[n].sign_survivors(m) for n, m in asked.items()})

    def unmask(self, agreed: Agreed, *, without: Collection[str] = NOBODY) -> Unmasked:
        """Step 8."""
        asked = {name: message for name, message in agreed.outbox.items() if name not in without}
        return unmask(agreed, {name: self.sessions[name].release(message) for name, message in asked.items()})

    def round(
        self,
        round_: int,
        *,
        attempt: int = 0,
        before_shares: Collection[str] = NOBODY,
        after_shares: Collection[str] = NOBODY,
        after_upload: Collection[str] = NOBODY,
        during_unmasking: Collection[str] = NOBODY,
        model: bytes = MODEL,
    ) -> Unmasked:
        """A whole round, without those who drop out at each step; who dropped out stays away for the rest of it."""
        started = self.start(self.deal(round_, attempt=attempt, without=before_shares), model=model)
        surviving = self.uploads(started, without=after_shares, model=model)
        agreed = self.signatures(surviving, without=after_upload)
        return self.unmask(agreed, without={*after_upload, *during_unmasking})

    def decoded(self, unmasked: Unmasked) -> Sum:
        """The sum that the server reads."""
        return self.plan.encoding.decode(unmasked.words)

    def expected(self, names: Collection[str]) -> NDArray[np.float64]:
        """The sum of the institutions' plain updates."""
        return np.sum([vector(name, self.plan.encoding.size) for name in sorted(names)], axis=0)

    def assert_sum(self, unmasked: Unmasked, names: Collection[str]) -> None:
        """The sum is that of these institutions, to half a step each."""
        assert set(unmasked.survivors) == set(names)
        found = self.decoded(unmasked)
        step = 1 / self.plan.encoding.scale
        np.testing.assert_allclose(found.reals, self.expected(names), rtol=0, atol=len(names) * step)
        assert found.counts["companies"].tolist() == [sum(10 * len(name) for name in names)]


def in_run(federation: Federation, run_id: str) -> Federation:
    """The same institutions with the same stores in another run, not yet set up."""
    other = Federation(replace(federation.plan, run_id=run_id), federation.identities, federation.stores)
    for name in federation.identities:
        other.restart(name)
    return other
