"""One line of an audit log: what a node was asked, refused or sent, chained to the line before and signed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, get_args

from fedcredit.errors import PolicyRefused
from fedcredit.trust.chain_entry import GENESIS, MAX_ENTRY_BYTES, ChainEntry

__all__ = ["CONTEXT", "GENESIS", "MAX_ENTRY_BYTES", "AuditBroken", "AuditEntry", "Event", "account_digest"]

CONTEXT = b"fedcredit/v1/audit"
Event = Literal["begun", "asked", "refused", "left", "error", "mended", "policy"]


class AuditBroken(PolicyRefused):
    """The audit log does not verify, or cannot be written; nothing is answered that would not be on record."""

    code = "audit"


@dataclass(frozen=True)
class AuditEntry(ChainEntry):
    """What was asked, refused or sent, in names and numbers; nothing of any company.

    begun: a new log. mended: a line that a crash left unfinished was set aside.
    """

    context = CONTEXT
    events = frozenset(get_args(Event))
    refusal = AuditBroken
    title = "audit log"
    stops = "nothing is answered"


def account_digest(run: str) -> str:
    """The run of a ledger as the log has it: a digest, since the name is the platform's, and only equality counts."""
    return hashlib.sha256(run.encode()).hexdigest()[:32]
