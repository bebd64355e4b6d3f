"""An audit log becomes one file that anybody can verify with nothing but the node's public identity, and back.

The first line says whose log it is, how many entries follow and how the last one hashes, signed; so a copy with its
end cut off shows. The entries follow as they stand in the log.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from clients.audit_entry import GENESIS, MAX_ENTRY_BYTES, AuditBroken, AuditEntry
from clients.audit_log import read_log
from fedcredit.trust.envelope import SealBroken, open_sealed, peek, seal
from fedcredit.trust.files import write_whole
from fedcredit.trust.keys import Identity, PublicIdentity, SignatureInvalid

KIND = "audit-log"
LEAST_DIGITS = 16  # of a fingerprint, as people read it to each other


@dataclass(frozen=True)
class Exported:
    """Whose log it is, and what it has."""

    institution: str
    identity: PublicIdentity
    entries: list[AuditEntry]


def export_log(path: Path, out: Path, *, institution: str, identity: Identity) -> int:
    """Write the verified log to `out`; how many entries it has.

    Raises:
        AuditBroken: the log does not verify; nothing is written.
    """
    entries = list(read_log(path, public=identity.public))
    head = entries[-1].hash if entries else GENESIS
    body = {
        "institution": institution,
        "identity": identity.public.to_bytes().hex(),
        "entries": len(entries),
        "head": head,
    }
    first = json.dumps(json.loads(seal(body, kind=KIND, by=[identity])), ensure_ascii=False).encode()
    write_whole(out, b"".join([first, b"\n", *(entry.to_line() for entry in entries)]))
    return len(entries)


def read_export(path: Path, *, fingerprint: str) -> Exported:
    """The entries of an exported log, verified by the identity with this fingerprint (16 digits or more of it).

    Raises:
        AuditBroken: it is another identity's, was edited, or is not complete.
    """
    where = path.name
    with path.open("rb") as file:
        first = file.readline(MAX_ENTRY_BYTES)
        try:
            public = PublicIdentity.from_bytes(bytes.fromhex(str(peek(first, kind=KIND).get("identity"))))
            body = open_sealed(first, kind=KIND, signers=[public], threshold=1)
            institution, number, head = str(body["institution"]), int(body["entries"]), str(body["head"])
        except (SealBroken, SignatureInvalid, ValueError, KeyError, TypeError):
            raise AuditBroken(
                f"{where}, line 1", found="no head of an audit log", expected="one signed by it"
            ) from None
        said = "".join(fingerprint.split()).lower()
        if len(said) < LEAST_DIGITS or not public.fingerprint.startswith(said):
            raise AuditBroken(
                where,
                found=f"the log of {public.fingerprint[:16]}...",
                expected="that of the fingerprint that was given",
                hint=f"give {LEAST_DIGITS} digits or more, as the institution reads them to you",
            )
        lines = iter(lambda: file.readline(MAX_ENTRY_BYTES + 1), b"")
        entries = list(AuditEntry.verified(lines, public=public, where=where))
    if len(entries) != number or (entries[-1].hash if entries else GENESIS) != head:
        raise AuditBroken(where, found=f"{len(entries)} entries", expected=f"{number}, and the last one as signed")
    return Exported(institution, public, entries)
