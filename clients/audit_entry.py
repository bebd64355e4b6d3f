"""One line of an audit log: what happened, chained to the line before and signed by the node, so that an edit shows."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from fedcredit.errors import PolicyRefused
from fedcredit.trust.keys import Identity, PublicIdentity, SignatureInvalid

GENESIS = "0" * 64
CONTEXT = b"fedcredit/v1/audit"
MAX_ENTRY_BYTES = 32 * 1024  # the signature is 4.5 kB of it
Event = Literal["begun", "asked", "refused", "left", "error", "mended", "policy"]


class AuditBroken(PolicyRefused):
    """The audit log does not verify, or cannot be written; nothing is answered that would not be on record."""

    code = "audit"


@dataclass(frozen=True)
class AuditEntry:
    """What was asked, refused or sent, in names and numbers; nothing of any company.

    begun: a new log. mended: a line that a crash left unfinished was set aside.
    """

    seq: int
    time: str
    event: Event
    facts: Mapping[str, Any]
    previous: str
    hash: str
    signature: str

    @staticmethod
    def after(
        seq: int, previous: str, *, time: str, event: Event, facts: Mapping[str, Any], by: Identity
    ) -> AuditEntry:
        """The entry that follows number `seq` with hash `previous`, signed."""
        digest = _digest(seq + 1, time, event, facts, previous)
        signature = base64.b64encode(by.sign(bytes.fromhex(digest), context=CONTEXT)).decode()
        return AuditEntry(seq + 1, time, event, facts, previous, digest, signature)

    def to_line(self) -> bytes:
        """One line of JSON. Raises AuditBroken: it would be longer than an entry may be."""
        line = _json(dict(vars(self))) + b"\n"
        if len(line) > MAX_ENTRY_BYTES:
            raise AuditBroken(
                "audit log", found=f"an entry of {len(line)} bytes", expected=f"at most {MAX_ENTRY_BYTES}"
            )
        return line

    def verify(self, public: PublicIdentity) -> None:
        """Return if the node's identity signed this entry, and so all before it. Raises SignatureInvalid."""
        try:
            signature = base64.b64decode(self.signature, validate=True)
        except ValueError:
            signature = b""
        public.verify(signature, bytes.fromhex(self.hash), context=CONTEXT)


def read_line(line: bytes) -> AuditEntry:
    """The entry in one line. Raises ValueError: it is none, or not exactly as we write it."""
    raw = json.loads(line) if len(line) <= MAX_ENTRY_BYTES else None
    match raw:
        case {
            "seq": int(seq),
            "time": str(time),
            "event": str(event),
            "facts": dict(facts),
            "previous": str(previous),
            "hash": str(digest),
            "signature": str(signature),
        } if event in get_args(Event):
            entry = AuditEntry(seq, time, cast(Event, event), facts, previous, digest, signature)
            if entry.to_line() == line:
                return entry
    raise ValueError("no entry")


def verified(
    lines: Iterable[bytes],
    *,
    public: PublicIdentity,
    where: str,
    seq: int = 0,
    previous: str = GENESIS,
    is_each: bool = True,
) -> Iterator[AuditEntry]:
    """The entries of the lines, each once it follows from the one before.

    The last signature covers all entries before it, through the chain; `is_each` verifies every one, so that the line
    that was forged first is the one that is named.

    Raises:
        AuditBroken: with the number of the first line that was edited, lost, added or moved.
    """
    last: AuditEntry | None = None
    for number, line in enumerate(lines, start=seq + 1):
        try:
            entry = read_line(line)
        except (ValueError, RecursionError, AuditBroken):
            raise _broken(f"{where}, line {number}", "no entry as the node writes it") from None
        if entry.seq != number or entry.previous != previous:
            raise _broken(f"{where}, line {number}", "an entry that does not follow from the one before")
        if entry.hash != _digest(entry.seq, entry.time, entry.event, entry.facts, entry.previous):
            raise _broken(f"{where}, line {number}", "an entry that was edited")
        if is_each:
            _verify(entry, public, where=where)
        previous, last = entry.hash, entry
        yield entry
    if last is not None and not is_each:
        _verify(last, public, where=where)


def account_digest(run: str) -> str:
    """The run of a ledger as the log has it: a digest, since the name is the platform's, and only equality counts."""
    return hashlib.sha256(run.encode()).hexdigest()[:32]


def _verify(entry: AuditEntry, public: PublicIdentity, *, where: str) -> None:
    try:
        entry.verify(public)
    except SignatureInvalid:
        raise _broken(f"{where}, line {entry.seq}", "a signature that is not this node's") from None


def _digest(seq: int, time: str, event: str, facts: Mapping[str, Any], previous: str) -> str:
    said = {"seq": seq, "time": time, "event": event, "facts": facts, "previous": previous}
    return hashlib.sha256(_json(said)).hexdigest()


def _json(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _broken(where: str, found: str) -> AuditBroken:
    hint = "keep the file as evidence; restore it from before the edit: until it verifies, nothing is answered"
    return AuditBroken(where, found=found, expected="the unbroken chain of what was asked and sent", hint=hint)
