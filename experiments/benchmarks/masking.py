"""Secure aggregation becomes milliseconds a round, a client's and the server's, at 42 institutions.

python -m experiments.benchmarks.masking
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from experiments.machine import commit, machine
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
from fedcredit.privacy.secagg.masks import add_mask
from fedcredit.privacy.secagg.server_setup import Cohort, Ready
from fedcredit.privacy.weights import WEIGHT_ONE
from fedcredit.trust.keys import VERIFIED, Identity

CLIP = 1.0
SETTINGS = b"s" * 32
T = TypeVar("T")


@dataclass
class Clock:
    """Wall and CPU milliseconds by what was done."""

    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Add what happens inside to a name."""
        VERIFIED.clear()  # each stands for a machine of its own, which has seen no signature yet
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall[name] = self.wall.get(name, 0.0) + 1e3 * (time.perf_counter() - wall)
        self.cpu[name] = self.cpu.get(name, 0.0) + 1e3 * (time.process_time() - cpu)

    def each(self, calls: dict[str, Callable[[], T]], *, watched: str, name: str) -> dict[str, T]:
        """Make all calls by institution; only the watched institution's is timed."""
        found = {}
        for institution, call in calls.items():
            if institution == watched:
                with self.time(name):
                    found[institution] = call()
            else:
                found[institution] = call()
        return found


@dataclass
class Members:
    """Institutions in memory, but the watched one, whose store is a file: its commits to disk are part of its time."""

    plan: Plan
    sessions: dict[str, ClientSession]
    updates: dict[str, NDArray[np.float64]]
    watched: str

    @staticmethod
    def of(count: int, *, size: int, folder: Path) -> Members:
        """`count` institutions with updates of L2 norm CLIP."""
        identities = {f"institution-{i:03d}": Identity.generate() for i in range(count)}
        roster = Roster({name: identity.public for name, identity in identities.items()})
        plan = Plan("benchmark", roster, bytes(32), Encoding(size, CLIP, count, (Counts("weight", 1, WEIGHT_ONE),)))
        watched = roster.names[count // 2]
        stores = {name: Store(folder / "secagg.db" if name == watched else None) for name in identities}
        sessions = {name: ClientSession(plan, name, key, stores[name]) for name, key in identities.items()}
        generator = np.random.default_rng(0)
        updates = {}
        for name in identities:
            update = generator.normal(size=size)
            updates[name] = CLIP * update / np.linalg.norm(update)
        return Members(plan, sessions, updates, watched)

    def set_up(self, clock: Clock) -> Ready:
        """The set-up of a run."""

        def all_do(step: str, inbox: dict[str, tuple[bytes, ...]]) -> dict[str, Any]:
            calls = {name: _call(getattr(self.sessions[name], step), *given) for name, given in inbox.items()}
            return clock.each(calls, watched=self.watched, name="client")

        offers = all_do("offer_keys", dict.fromkeys(self.sessions, ()))
        with clock.time("server"):
            keyed = relay_keys(self.plan, offers)
        capsules = all_do("encapsulate", {name: (message,) for name, message in keyed.outbox.items()})
        with clock.time("server"):
            capsuled = relay_capsules(keyed, capsules)
        macs = all_do("agree", {name: (message,) for name, message in capsuled.outbox.items()})
        with clock.time("server"):
            ready = relay_confirmations(capsuled, macs)
        all_do("confirm", {name: (message,) for name, message in ready.outbox.items()})
        return ready

    def deal(self, ready: Ready, round_: int, clock: Clock) -> Cohort:
        """Shares for a round, one ahead."""
        calls = {name: _call(session.deal, round_) for name, session in self.sessions.items()}
        deals = clock.each(calls, watched=self.watched, name="deal")
        with clock.time("server_deals"):
            return gather_deals(ready, deals, round_=round_)

    def round(self, cohort: Cohort, *, dropouts: int, clock: Clock) -> float:
        """One round with the first few dropping out after their shares; the largest error of the sum over the clip."""
        model = cohort.round.to_bytes(32, "big")
        with clock.time("server_start"):
            started = start_round(cohort, model_sha256=model, settings_sha256=SETTINGS)
        staying = list(started.outbox)[dropouts:]
        uploads = clock.each(
            {name: _call(self._upload, name, started.outbox[name], model) for name in staying},
            watched=self.watched,
            name="upload",
        )
        with clock.time("server_uploads"):
            surviving = gather_uploads(started, uploads)
        signs = {n: _call(self.sessions[n].sign_survivors, message) for n, message in surviving.outbox.items()}
        signatures = clock.each(signs, watched=self.watched, name="sign")
        with clock.time("server_signatures"):
            agreed = gather_signatures(surviving, signatures)
        opens = {n: _call(self.sessions[n].release, message) for n, message in agreed.outbox.items()}
        releases = clock.each(opens, watched=self.watched, name="release")
        with clock.time("server_unmask"):
            found = self.plan.encoding.decode(unmask(agreed, releases).words)
        expected = np.sum([self.updates[name] for name in staying], axis=0)
        return float(np.abs(found.reals - expected).max() / CLIP)

    def _upload(self, name: str, start: bytes, model: bytes) -> tuple[bytes, NDArray[Any]]:
        encoded = self.plan.encoding.encode(self.updates[name], {"weight": WEIGHT_ONE})
        return self.sessions[name].upload(start, model_sha256=model, settings_sha256=SETTINGS, encoded=encoded)


def _call(function: Callable[..., T], *given: Any) -> Callable[[], T]:
    return lambda: function(*given)


def mask_gb_per_s(*, words: int = 1_000_000, repeats: int = 25) -> float:
    """Gigabytes of vector that one peer's mask is added to in a second: median of the repeats."""
    vector, times = np.zeros(words, dtype=np.uint32), []
    for at in range(repeats):
        seed = at.to_bytes(32, "big")
        begin = time.perf_counter()
        add_mask(vector, seed)
        times.append(time.perf_counter() - begin)
    return vector.nbytes / median(times) / 1e9


def figures(*, institutions: int, size: int, dropouts: int, repeats: int) -> dict[str, Any]:
    """Client's and server's milliseconds a round (medians), the set-up apart, and the largest error of a sum."""
    with tempfile.TemporaryDirectory() as folder:
        members, set_up = Members.of(institutions, size=size, folder=Path(folder)), Clock()
        ready = members.set_up(set_up)
        clocks, errors = [], []
        for round_ in range(1, repeats + 1):
            clock = Clock()
            cohort = members.deal(ready, round_, clock)
            errors.append(members.round(cohort, dropouts=dropouts, clock=clock))
            clocks.append(clock)
    return {
        "secagg_42": {
            "client_ms": median(_total(clock.wall, server=False) for clock in clocks),
            "server_ms": median(_total(clock.wall, server=True) for clock in clocks),
            "client_cpu_ms": median(_total(clock.cpu, server=False) for clock in clocks),
            "server_cpu_ms": median(_total(clock.cpu, server=True) for clock in clocks),
            "client_ms_least": min(_total(clock.wall, server=False) for clock in clocks),
            "server_ms_least": min(_total(clock.wall, server=True) for clock in clocks),
            "by_step_ms": {name: median(clock.wall[name] for clock in clocks) for name in clocks[0].wall},
            "by_step_cpu_ms": {name: median(clock.cpu[name] for clock in clocks) for name in clocks[0].cpu},
            "setup_client_ms": set_up.wall["client"],
            "setup_server_ms": set_up.wall["server"],
            "institutions": institutions,
            "parameters": size,
            "dropouts": dropouts,
        },
        "max_aggregate_error_over_clip": max(errors),
    }


def _total(times: dict[str, float], *, server: bool) -> float:
    return sum(value for name, value in times.items() if name.startswith("server") == server)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="accepted for likeness; the output is JSON either way")
    parser.add_argument("--institutions", type=int, default=42)
    parser.add_argument("--parameters", type=int, default=100_000)
    parser.add_argument("--dropouts", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=9)
    chosen = parser.parse_args(arguments)
    found = {
        "mask_gb_per_s": mask_gb_per_s(),
        **figures(
            institutions=chosen.institutions,
            size=chosen.parameters,
            dropouts=chosen.dropouts,
            repeats=chosen.repeats,
        ),
        "repeats": chosen.repeats,
        "machine": machine(),
        "commit": commit(),
        "torch_threads": None,
    }
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
