"""One line of a signed log: what happened, chained to the line before, signed by its keeper, so that edits show."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from fedcredit.errors import PolicyRefused
from fedcredit.trust.keys import Identity, PublicIdentity, SignatureInvalid

GENESIS = "0" * 64
MAX_ENTRY_BYTES = 32 * 1024  # the signature is 4.5 kB of it


@dataclass(frozen=True)
class ChainEntry:
    """One event in names and numbers. A log of another kind is a subclass, which sets the facts below.

    context: the label that is signed; events: the words it knows, among them begun and mended; refusal: the error;
    title: the log's name in errors; stops: what does not happen until the log verifies.
    """

    context: ClassVar[bytes]
    events: ClassVar[frozenset[str]]
    refusal: ClassVar[type[PolicyRefused]]
    title: ClassVar[str]
    stops: ClassVar[str]

    seq: int
    time: str
    event: str
    facts: Mapping[str, Any]
    previous: str
    hash: str
    signature: str

    @classmethod
    def after(cls, seq: int, previous: str, *, time: str, event: str, facts: Mapping[str, Any], by: Identity) -> Self:
        """The entry that follows number `seq` with hash `previous`, signed. Raises ValueError at an unknown event."""
        if event not in cls.events:
            raise ValueError(f"no event of a {cls.title}: {event}")
        digest = _digest(seq + 1, time, event, facts, previous)
        signature = base64.b64encode(by.sign(bytes.fromhex(digest), context=cls.context)).decode()
        return cls(seq + 1, time, event, facts, previous, digest, signature)

    def to_line(self) -> bytes:
        """One line of JSON. Raises the log's refusal: it would be longer than an entry may be."""
        line = _json(dict(vars(self))) + b"\n"
        if len(line) > MAX_ENTRY_BYTES:
            raise self.refusal(
                self.title, found=f"an entry of {len(line)} bytes", expected=f"at most {MAX_ENTRY_BYTES}"
            )
        return line

    @classmethod
    def from_line(cls, line: bytes) -> Self:
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
            } if event in cls.events:
                entry = cls(seq, time, event, facts, previous, digest, signature)
                if entry.to_line() == line:
                    return entry
        raise ValueError("no entry")

    def verify(self, public: PublicIdentity) -> None:
        """Return if the keeper's identity signed this entry, and so all before it. Raises SignatureInvalid."""
        try:
            signature = base64.b64decode(self.signature, validate=True)
        except ValueError:
            signature = b""
        public.verify(signature, bytes.fromhex(self.hash), context=self.context)

    @classmethod
    def verified(
        cls,
        lines: Iterable[bytes],
        *,
        public: PublicIdentity,
        where: str,
        seq: int = 0,
        previous: str = GENESIS,
        is_each: bool = True,
    ) -> Iterator[Self]:
        """The entries of the lines, each once it follows from the one before.

        The last signature covers all entries before it, through the chain; `is_each` verifies every one, so that the
        line that was forged first is the one that is named.

        Raises:
            PolicyRefused: the log's refusal, with the number of the first line that was edited, lost or moved.
        """
        last: Self | None = None
        for number, line in enumerate(lines, start=seq + 1):
            try:
                entry = cls.from_line(line)
            except (ValueError, RecursionError, PolicyRefused):
                raise cls._broken(f"{where}, line {number}", "no entry in the form it is written in") from None
            if entry.seq != number or entry.previous != previous:
                raise cls._broken(f"{where}, line {number}", "an entry that does not follow from the one before")
            if entry.hash != _digest(entry.seq, entry.time, entry.event, entry.facts, entry.previous):
                raise cls._broken(f"{where}, line {number}", "an entry that was edited")
            if is_each:
                entry._verify(public, where=where)
            previous, last = entry.hash, entry
            yield entry
        if last is not None and not is_each:
            last._verify(public, where=where)

    def _verify(self, public: PublicIdentity, *, where: str) -> None:
        try:
            self.verify(public)
        except SignatureInvalid:
            raise self._broken(f"{where}, line {self.seq}", "a signature that is not its keeper's") from None

    @classmethod
    def _broken(cls, where: str, found: str) -> PolicyRefused:
        hint = f"keep the file as evidence; restore it from before the edit: until it verifies, {cls.stops}"
        return cls.refusal(where, found=found, expected=f"the unbroken chain of the {cls.title}", hint=hint)


def _digest(seq: int, time: str, event: str, facts: Mapping[str, Any], previous: str) -> str:
    said = {"seq": seq, "time": time, "event": event, "facts": facts, "previous": previous}
    return hashlib.sha256(_json(said)).hexdigest()


def _json(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
