"""A message becomes bytes in exactly one way, and bytes become a message only if they are that way.

Integers have fixed widths, everything else its length before it, entries by institution stand in strictly ascending
order, nothing may follow the end. So equal messages are equal bytes: what is signed is what is sent. Every message
opens with the suite and its kind, which leaves no room for a downgrade or for one kind read as another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

from fedcredit.privacy.secagg.refusals import MessageRefused, SuiteRefused

SUITE = b"fedcredit/v1/secagg/Ed25519+ML-DSA-65/X25519+ML-KEM-768/HKDF-SHA256/AES-256"
MAX_MEMBERS = 1024
T = TypeVar("T")


class Reader:
    """Takes what it is asked for from the front of the bytes, and refuses to run past their end."""

    def __init__(self, data: bytes, kind: str) -> None:
        self.data, self.kind, self.at = data, kind, 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if size > len(self.data) - self.at:
            raise self.refused("bytes that end too early", "a whole message")
        self.at += size
        return self.data[self.at - size : self.at]

    def refused(self, found: str, expected: str) -> MessageRefused:
        """An error that names the kind of message, and none of its content."""
        return MessageRefused(f"secagg message {self.kind!r}", found=found, expected=expected)


@dataclass(frozen=True)
class Field(Generic[T]):
    """How one value is written and read."""

    write: Callable[[T], bytes]
    read: Callable[[Reader], T]


def number(size: int) -> Field[int]:
    """An unsigned integer of `size` bytes, most significant first."""
    return Field(lambda value: value.to_bytes(size, "big"), lambda reader: int.from_bytes(reader.take(size), "big"))


def fixed(size: int) -> Field[bytes]:
    """Exactly `size` bytes."""

    def write(value: bytes) -> bytes:
        if len(value) != size:
            raise MessageRefused("secagg message", found=f"a field of {len(value)} bytes", expected=f"{size}")
        return value

    return Field(write, lambda reader: reader.take(size))


def limited(most: int) -> Field[bytes]:
    """At most `most` bytes, their length before them."""
    size = number(4)

    def read(reader: Reader) -> bytes:
        length = size.read(reader)
        if length > most:
            raise reader.refused(f"a field of {length} bytes", f"at most {most}")
        return reader.take(length)

    return Field(lambda value: size.write(len(value)) + value, read)


def record(*fields: Field[Any]) -> Field[tuple[Any, ...]]:
    """Some values one after the other."""
    return Field(
        lambda values: b"".join(field.write(value) for field, value in zip(fields, values, strict=True)),
        lambda reader: tuple(field.read(reader) for field in fields),
    )


def by_index(field: Field[T]) -> Field[Mapping[int, T]]:
    """One value for each of some institutions (by roster index), ascending."""
    index = number(2)

    def write(values: Mapping[int, T]) -> bytes:
        return index.write(len(values)) + b"".join(index.write(at) + field.write(values[at]) for at in sorted(values))

    def read(reader: Reader) -> Mapping[int, T]:
        count, found, before = index.read(reader), {}, -1
        if count > MAX_MEMBERS:
            raise reader.refused(f"{count} entries", f"at most {MAX_MEMBERS}")
        for _ in range(count):
            at = index.read(reader)
            if at <= before:
                raise reader.refused("entries that repeat or are out of order", "ascending indices")
            found[at] = field.read(reader)
            before = at
        return found

    return Field(write, read)


NOTHING: Field[None] = Field(lambda _: b"", lambda _: None)


def indices() -> Field[tuple[int, ...]]:
    """Some institutions (by roster index), ascending."""
    entries = by_index(NOTHING)
    return Field(lambda value: entries.write(dict.fromkeys(value)), lambda reader: tuple(entries.read(reader)))


U16, U32 = number(2), number(4)
HASH = fixed(32)
HEAD = record(limited(len(SUITE)), limited(32))


class Message:
    """Base of all messages and stored states: a dataclass whose `layout` says how each of its fields is written."""

    kind: ClassVar[str]
    layout: ClassVar[Mapping[str, Field[Any]]]

    def to_bytes(self) -> bytes:
        """Suite, kind, then every field of the layout in its order."""
        head = HEAD.write((SUITE, self.kind.encode()))
        return head + b"".join(field.write(getattr(self, name)) for name, field in self.layout.items())

    def unsigned(self) -> bytes:
        """All of it but its last field, the signature: what is signed."""
        return self.to_bytes()[: -len(getattr(self, "signature"))]  # noqa: B009 - not every message has one

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The message in the bytes. Raises SuiteRefused or MessageRefused if they are anything else."""
        reader = Reader(bytes(data), cls.kind)
        suite, kind = _head(reader)
        if suite != SUITE:
            raise SuiteRefused(f"secagg message {cls.kind!r}", found="another suite", expected=SUITE.decode())
        if kind != cls.kind.encode():
            raise reader.refused("another kind of message", cls.kind)
        message = cls(**{name: field.read(reader) for name, field in cls.layout.items()})
        if reader.at != len(reader.data):
            raise reader.refused(f"{len(reader.data) - reader.at} bytes after its end", "none")
        return message


def _head(reader: Reader) -> tuple[bytes, bytes]:
    """Suite and kind; a suite of another length is another suite, and said to be."""
    try:
        suite, kind = HEAD.read(reader)
    except MessageRefused:
        raise SuiteRefused(
            f"secagg message {reader.kind!r}", found="no suite of ours", expected=SUITE.decode()
        ) from None
    return suite, kind
