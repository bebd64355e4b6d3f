"""Ledger, audit log and masks of a node become a list of the places where they do not agree: none, if nothing is lost.

The log has a question before the ledger has its charge, and the charge before what it paid for leaves. So after any
crash each charge has its question, and each update that left has its charge, once.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clients.audit_entry import AuditEntry, account_digest
from clients.audit_log import read_log
from fedcredit.errors import FedCreditError
from fedcredit.privacy.entry import Entry
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.secagg.differencing import Summed, require_same
from fedcredit.privacy.secagg.store import CLOSED, sums_of
from fedcredit.trust.keys import PublicIdentity

MASKED = "train.masked"
CHARGED = ("train", MASKED, "query.counts", "query.masked")
UNMASK = "query.unmask"


@dataclass(frozen=True)
class Disagreement:
    """Where something does not fit, and what."""

    place: str
    found: str


@dataclass(frozen=True)
class Verified:
    """What was looked at, and what does not fit."""

    ledger_entries: int
    charges: int
    audit_entries: int
    left: int
    sums: int
    faults: tuple[Disagreement, ...]


def verify_node(*, ledger: Path, audit: Path, masks: Path, public: PublicIdentity) -> Verified:
    """Everything that a node keeps for good, held against each other; a broken chain is a fault among others."""
    faults = list[Disagreement]()
    entries, lines = list[Entry](), list[AuditEntry]()
    try:
        entries = Ledger(ledger).entries()
    except FedCreditError as fault:
        faults.append(Disagreement(f"ledger: {fault.where}", fault.found))
    try:
        lines.extend(read_log(audit, public=public))
    except FedCreditError as fault:
        faults.append(Disagreement(f"audit log: {fault.where}", fault.found))
    if not faults:  # of half a chain the rest would look lost
        faults += [*_without_question(entries, lines), *_without_charge(entries, lines)]
    sums, torn = _masks(masks)
    faults += [*torn, *_released_twice(lines)]
    return Verified(
        ledger_entries=len(entries),
        charges=sum(entry.event == "charge" for entry in entries),
        audit_entries=len(lines),
        left=sum(line.event == "left" for line in lines),
        sums=sums,
        faults=tuple(faults),
    )


def _without_question(entries: Sequence[Entry], lines: Sequence[AuditEntry]) -> Iterator[Disagreement]:
    """Charges beyond the questions that the log has for their run and round."""
    asked = Counter((line.facts.get("account"), line.facts.get("round")) for line in lines if line.event == "asked")
    for entry in entries:
        if entry.event != "charge" or entry.kind not in ("training", "metrics"):
            continue
        if asked[account_digest(entry.run), entry.round] < entry.attempt:
            place = f"ledger, entry {entry.seq} (run {entry.run}, round {entry.round}, attempt {entry.attempt})"
            yield Disagreement(place, "a charge that no question in the audit log asked for")


def _without_charge(entries: Sequence[Entry], lines: Sequence[AuditEntry]) -> Iterator[Disagreement]:
    """Updates of private tasks that left without a charge in the ledger, or with one that paid for another.

    Noised counts are as updates here: each has a charge of its own.
    """
    known = {(entry.seq, entry.hash) for entry in entries if entry.event == "charge"}
    used = set[tuple[int, str]]()
    for line in lines:
        facts = line.facts
        only_evaluates = facts.get("type") == MASKED and "evaluates" in facts  # in the clear the word means nothing
        if line.event != "left" or facts.get("type") not in CHARGED or "account" not in facts or only_evaluates:
            continue
        charge = facts.get("charge")
        cited = {(int(seq), str(digest)) for seq, digest in charge["entries"]} if charge else set()
        place = f"audit log, line {line.seq} (run {facts.get('run')}, round {facts.get('round')})"
        if not cited:
            yield Disagreement(place, "a private update that left without a charge")
        if cited - known:
            yield Disagreement(place, "a charge that the ledger does not have")
        if cited & used:
            yield Disagreement(place, "a charge that had paid for another update")
        used |= cited


def _released_twice(lines: Sequence[AuditEntry]) -> Iterator[Disagreement]:
    seen = dict[tuple[object, ...], int]()
    for line in lines:
        if line.event != "left" or line.facts.get("type") != UNMASK:
            continue
        key = tuple(line.facts.get(name) for name in ("plan", "round", "attempt"))
        if key in seen:
            yield Disagreement(f"audit log, line {line.seq}", f"shares of a sum that line {seen[key]} had released")
        seen[key] = line.seq


def _masks(path: Path) -> tuple[int, list[Disagreement]]:
    """How many sums were signed, and where two of them differ over one model or round."""
    if not path.exists():
        return 0, []
    faults = list[Disagreement]()
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            topics = [topic for (topic,) in db.execute("select distinct topic from signed")]
            count = db.execute("select count(*) from (select distinct plan, round, attempt from signed)").fetchone()[0]
            for topic in topics:
                faults += _differ(sums_of(db, topic), where=f"masks, topic {topic.hex()[:16]}")
            open_ = "select count(*) from round where stage = ? and length(state) > 0"
            if db.execute(open_, (CLOSED,)).fetchone()[0]:
                faults.append(Disagreement("masks", "secrets of a round that is closed"))
        finally:
            db.close()
    except sqlite3.Error as fault:
        return 0, [Disagreement("masks", f"a file that cannot be read ({type(fault).__name__})")]
    return count, faults


def _differ(sums: Sequence[Summed], *, where: str) -> list[Disagreement]:
    try:
        for number, one in enumerate(sums):
            require_same(one, sums[:number])
    except FedCreditError:
        return [Disagreement(where, "two sums that differ, whose difference may be one update")]
    return []
