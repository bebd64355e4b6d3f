"""What a node was asked and sent becomes lines on its disk, each synced before the answer leaves."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from clients.audit_entry import AuditEntry
from fedcredit.trust.chain_log import ChainLog, read_chain
from fedcredit.trust.keys import Identity, PublicIdentity


class AuditLog(ChainLog[AuditEntry]):
    """The audit log in one file of mode 0600; several processes may write to it, one line at a time."""

    def __init__(self, path: Path, identity: Identity) -> None:
        """Nothing is opened before the first entry."""
        super().__init__(path, identity, kind=AuditEntry)


@lru_cache(maxsize=64)
def opened_log(path: str, identity: str) -> AuditLog:
    """The log of a node, one object a process, so that what it has verified is not verified again."""
    return AuditLog(Path(path), Identity.load(Path(identity)))


def read_log(path: Path, *, public: PublicIdentity, is_each: bool = True) -> Iterator[AuditEntry]:
    """Every entry of a log, oldest first, verified; a torn last line is no entry.

    Raises:
        AuditBroken: with the line, where the log was edited; or where lines were cut off its end.
    """
    return read_chain(path, kind=AuditEntry, public=public, is_each=is_each)
