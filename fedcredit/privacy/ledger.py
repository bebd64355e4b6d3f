"""The institution's account of what every company's rows have spent: append-only, on disk before a row is touched.

A run first *plans*: its whole spend is composed with everything before, held against the ceilings, and reserved. Then
each round *charges* its part of the plan, which is one synced write and no composition. `close` gives back what a plan
did not charge; nothing ever gives back what was charged.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fedcredit.errors import BudgetSpent, PolicyRefused
from fedcredit.privacy import ledger_file, ledger_open
from fedcredit.privacy.account import Account, Charge, home, ledger_path
from fedcredit.privacy.ceilings import Ceilings
from fedcredit.privacy.entry import Entry, Event
from fedcredit.privacy.history import committed, remaining
from fedcredit.privacy.mechanism import Mechanism, joint_epsilon, run_epsilon

__all__ = ["Account", "Charge", "Ledger", "home", "ledger_path"]


@dataclass(frozen=True)
class Ledger:
    """The ledger in one file, made on first use with mode 0600, under the institution's own ceilings."""

    path: Path
    ceilings: Ceilings = field(default_factory=Ceilings)

    def plan(self, account: Account, mechanisms: Sequence[Mechanism]) -> tuple[Entry, ...]:
        """Reserve everything that a run may charge; the same plan again changes nothing.

        Raises:
            BudgetSpent: the ceilings do not cover it beside what was charged and reserved before.
            PolicyRefused: the run's name has another plan.
            LedgerEdited, CheckpointError: the ledger does not verify, or cannot be written.
        """
        if self.path.exists():
            with ledger_open.reading(self.path, is_whole=False) as db:
                plans = _plans(db, account)
            if plans:
                return _same_plan(plans, account, mechanisms)
        self._after(self.entries(), account, mechanisms)  # takes a second and is remembered: not under the lock
        with ledger_open.writing(self.path, is_whole=True) as db:
            plans = _plans(db, account)
            if plans:
                return _same_plan(plans, account, mechanisms)
            after = self._after(ledger_file.read(db), account, mechanisms)
            drafts = [
                _draft(account, "plan", one, population, after[population], attempt=number)
                for population in account.populations
                for number, one in enumerate(mechanisms, start=1)
            ]
            return ledger_file.append(db, drafts)

    def charge(
        self,
        account: Account,
        mechanism: Mechanism,
        *,
        number: int = 0,
        attempt: int | None = None,
        is_beyond_plan_allowed: bool = False,
    ) -> Charge:
        """Put one round's mechanism on disk, before it is used.

        The same run, population, round, attempt and kind again returns the entries that are there. Without an
        `attempt` it is the next one: a round that is trained again after a crash is charged again. A run without a plan
        is held against the ceilings here, which takes a composition.

        Raises:
            BudgetSpent: the run's plan, or without a plan a ceiling, does not cover it; or the run was closed.
            LedgerEdited, CheckpointError: the ledger does not verify, or cannot be written; nothing may be trained.
        """
        with ledger_open.writing(self.path) as db:
            run, population = account.run, account.populations[0]
            found = ledger_file.read_run(db, run, population=population, event="charge", number=number)
            found = [entry for entry in found if entry.kind == mechanism.kind]
            if attempt is None:
                attempt = 1 + max((entry.attempt for entry in found), default=0)
            again = tuple(entry for entry in found if entry.attempt == attempt)
            if again:
                return Charge(again, is_new=False)
            if ledger_file.read_run(db, run, population=population, event="close"):
                raise BudgetSpent("run", found="a closed run", expected="an open one", hint="start it under a new name")
            plans = _plans(db, account)
            if plans and not is_beyond_plan_allowed:
                spent = ledger_file.charged_counts(db, run, population=population)
                _check_plan([plan for plan in plans if plan.population == population], spent, mechanism)
            after = {entry.population: entry.epsilon_after for entry in plans}
            if not plans:
                after = self._after(ledger_file.read(db), account, [mechanism])
            drafts = [
                _draft(account, "charge", mechanism, population, after[population], number=number, attempt=attempt)
                for population in account.populations
            ]
            return Charge(ledger_file.append(db, drafts), is_new=True)

    def close(self, run: str) -> None:
        """Give back what the run's plan has not charged; whatever it charges from now on is refused.

        Raises:
            PolicyRefused: the ledger knows no such run.
        """
        with ledger_open.writing(self.path, is_whole=True) as db:
            entries = ledger_file.read(db)
            mine = [entry for entry in entries if entry.run == run]
            if not mine:
                raise PolicyRefused("run", found="no such run in the ledger", expected="one that it shows")
            if any(entry.event == "close" for entry in mine):
                return
            drafts = []
            for last in {entry.population: entry for entry in mine}.values():
                account = Account(run, last.study, last.dataset, (last.population,), last.delta, last.scope)
                done = [e for e in entries if e.population == last.population]
                rest = [e for e in done if e.run != run or e.event != "plan"]
                epsilon = joint_epsilon(committed(rest), delta=min(e.delta for e in done))
                drafts.append(_draft(account, "close", last.spends, last.population, epsilon))
            ledger_file.append(db, drafts)

    def entries(self) -> list[Entry]:
        """Every entry, oldest first; none where there is no ledger yet.

        Raises:
            LedgerEdited: the chain is broken.
        """
        if not self.path.exists():
            return []
        with ledger_open.reading(self.path, is_whole=True) as db:
            return ledger_file.read(db)

    def has_charged(self, account: Account) -> bool:
        """Whether the run has charged anything."""
        if not self.path.exists():
            return False
        with ledger_open.reading(self.path, is_whole=False) as db:
            return bool(ledger_file.charged_counts(db, account.run, population=account.populations[0]))

    def planned(self, account: Account) -> tuple[Entry, ...]:
        """The run's plans, an entry a population; none if it has none yet."""
        if not self.path.exists():
            return ()
        with ledger_open.reading(self.path, is_whole=False) as db:
            return tuple(_plans(db, account))

    def charged(self, account: Account, *, number: int) -> tuple[Entry, ...]:
        """The newest charge of one round, an entry a population; none if it was not charged."""
        if not self.path.exists():
            return ()
        found = []
        with ledger_open.reading(self.path, is_whole=False) as db:
            for population in account.populations:
                run = ledger_file.read_run(db, account.run, population=population, event="charge", number=number)
                found += run[-1:]
        return tuple(found)

    def history(self, account: Account) -> list[Mechanism]:
        """What the run has charged."""
        if not self.path.exists():
            return []
        with ledger_open.reading(self.path, is_whole=False) as db:
            counts = ledger_file.charged_counts(db, account.run, population=account.populations[0])
        return [mechanism.times(count) for mechanism, count in counts.items()]

    def _after(self, entries: list[Entry], account: Account, mechanisms: Sequence[Mechanism]) -> dict[str, float]:
        """Lifetime epsilon of each population once the mechanisms are spent too, within the ceilings."""
        after = {}
        for population in account.populations:
            mine = [entry for entry in entries if entry.population == population]
            delta = min([account.delta, *(entry.delta for entry in mine)])
            before = committed(mine)
            after[population] = joint_epsilon([*before, *mechanisms], delta=delta)
            if self.ceilings.lifetime_epsilon is not None or self.ceilings.run_epsilon is not None:
                # One run is charged by the larger of two accountants, and so is a lifetime that is one run.
                alone = run_epsilon(mechanisms, delta=account.delta)
                self.ceilings.check_spend(
                    run=alone, lifetime=after[population], before=joint_epsilon(before, delta=delta)
                )
        return after


def _plans(db: sqlite3.Connection, account: Account) -> list[Entry]:
    return [
        entry
        for population in account.populations
        for entry in ledger_file.read_run(db, account.run, population=population, event="plan")
    ]


def _same_plan(plans: Sequence[Entry], account: Account, mechanisms: Sequence[Mechanism]) -> tuple[Entry, ...]:
    """The plan that is there, if it is this one."""
    asked = {(population, one) for population in account.populations for one in mechanisms}
    if {(entry.population, entry.spends) for entry in plans} != asked:
        hint = "a run keeps its plan, also when its folder is deleted; start it under another name"
        raise PolicyRefused("run", found="another plan under this name", expected="the first one", hint=hint)
    return tuple(plans)


def _check_plan(plans: Sequence[Entry], spent: Counter[Mechanism], mechanism: Mechanism) -> None:
    """Pass a charge that the plan covers beside what was charged already."""
    planned: Counter[Mechanism] = Counter()
    for plan in plans:
        planned[plan.spends.once] += plan.count
    asked = spent + Counter({mechanism.once: mechanism.count})
    if remaining(planned, asked)[1]:
        kind = mechanism.kind
        done, most = (sum(n for one, n in counts.items() if one.kind == kind) for counts in (spent, planned))
        raise BudgetSpent(
            "run",
            found=f"{done} of {most} planned {kind} steps charged, and {mechanism.count} more asked",
            expected="steps that the plan covers, with no less noise",
            hint="a crash repeated more rounds than the noise covers; start the run again under another name",
        )


def _draft(
    account: Account,
    event: Event,
    mechanism: Mechanism,
    population: str,
    after: float,
    *,
    number: int = 0,
    attempt: int = 0,
) -> Entry:
    return Entry(
        seq=0,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        event=event,
        scope=account.scope,
        dataset=account.dataset,
        population=population,
        study=account.study,
        run=account.run,
        round=number,
        attempt=attempt,
        kind=mechanism.kind,
        mechanism=mechanism.once.to_json(),
        count=mechanism.count,
        delta=account.delta,
        epsilon_after=after,
    )
