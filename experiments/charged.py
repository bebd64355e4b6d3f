"""What a study's runs were charged becomes the epsilon of the whole study, and of the companies' lifetime."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from clients.institution import RUN_LEDGER
from experiments.folder import RunFolder
from experiments.workplace import OWN_TABLES
from fedcredit.privacy.entry import Entry
from fedcredit.privacy.history import charged
from fedcredit.privacy.ledger import Ledger, ledger_path
from fedcredit.privacy.mechanism import joint_epsilon


@dataclass(frozen=True)
class StudyCharge:
    """Epsilon at the institution where it is largest, composed by PLD; lifetime is None for public rows.

    everywhere: of a company that all the institutions of the study know, if all of them did the same.
    """

    study: float
    everywhere: float
    lifetime: float | None


def name_of(folder: RunFolder, *, study: str) -> str:
    """The name that a study's run is charged under: it must not be met again, on this machine, in another folder."""
    place = hashlib.sha256(str(folder.path.resolve()).encode()).hexdigest()[:8]
    return f"{study}/{folder.path.name}-{place}"


def charge_of(folder: RunFolder, *, study: str, is_public: bool, institutions: int) -> StudyCharge:
    """What the run in `folder` charged with all its seeds and arms, from its ledgers; from this machine's for own rows.

    Raises:
        LedgerEdited: one of them does not verify.
    """
    if is_public:
        entries = [
            entry
            for path in sorted(folder.path.glob(f"units/*/state/*/**/{RUN_LEDGER}"))
            for entry in Ledger(path).entries()
        ]
        return StudyCharge(_largest(entries), _largest(entries, institutions=institutions), None)
    entries = Ledger(ledger_path(OWN_TABLES)).entries()
    mine = [entry for entry in entries if entry.study == name_of(folder, study=study)]
    touched = {entry.population for entry in mine}
    lifetime = _largest([entry for entry in entries if entry.population in touched])
    return StudyCharge(_largest(mine), _largest(mine, institutions=institutions), lifetime)


def _largest(entries: list[Entry], *, institutions: int = 1) -> float:
    found = [0.0]
    for population in {entry.population for entry in entries}:
        mine = [entry for entry in entries if entry.population == population]
        delta = min(entry.delta for entry in mine)
        found.append(joint_epsilon(charged(mine), delta=delta, institutions=institutions))
    return max(found)
