"""What an institution must remember between two messages, as values that can be written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fedcredit.privacy.secagg.agreement import RunKeys
from fedcredit.privacy.secagg.wire import HASH, Field, Message, by_index, fixed, indices, limited, record
from fedcredit.privacy.shamir import SHARE_BYTES

SHARES = record(fixed(SHARE_BYTES), fixed(SHARE_BYTES))


@dataclass(frozen=True, repr=False)
class Offered(Message):
    """Keys are out; nobody's are in."""

    kind: ClassVar[str] = "state/offered"
    layout: ClassVar[Mapping[str, Field[Any]]] = {"x25519": fixed(32), "mlkem": fixed(64)}
    x25519: bytes
    mlkem: bytes

    @property
    def keys(self) -> RunKeys:
        """The private keys of this run."""
        return RunKeys(self.x25519, self.mlkem)


@dataclass(frozen=True, repr=False)
class Encapsulated(Message):
    """All keys are in and verified; secrets with later members are known."""

    kind: ClassVar[str] = "state/encapsulated"
    layout: ClassVar[Mapping[str, Field[Any]]] = {
        "x25519": fixed(32),
        "mlkem": fixed(64),
        "offers": by_index(limited(8192)),
        "secrets": by_index(HASH),
    }
    x25519: bytes
    mlkem: bytes
    offers: Mapping[int, bytes]
    secrets: Mapping[int, bytes]


@dataclass(frozen=True, repr=False)
class Paired(Message):
    """A secret with every peer; the private keys are gone."""

    kind: ClassVar[str] = "state/paired"
    layout: ClassVar[Mapping[str, Field[Any]]] = {"secrets": by_index(HASH)}
    secrets: Mapping[int, bytes]


@dataclass(frozen=True, repr=False)
class Dealt(Message):
    """Shares of b and k are out; b makes the self mask later, k is needed no more."""

    kind: ClassVar[str] = "state/dealt"
    layout: ClassVar[Mapping[str, Field[Any]]] = {"b": HASH, "own": SHARES}
    b: bytes
    own: tuple[bytes, bytes]


@dataclass(frozen=True, repr=False)
class Uploaded(Message):
    """The masked update is out: over what, and the shares held of everybody in the cohort; b is gone."""

    kind: ClassVar[str] = "state/uploaded"
    layout: ClassVar[Mapping[str, Field[Any]]] = {
        "context": HASH,
        "model_sha256": HASH,
        "payload": HASH,
        "cohort": indices(),
        "shares": by_index(SHARES),
        "weighing": limited(32),
    }
    context: bytes
    model_sha256: bytes
    payload: bytes
    cohort: tuple[int, ...]
    shares: Mapping[int, tuple[bytes, bytes]]
    weighing: bytes = b""


@dataclass(frozen=True, repr=False)
class SurvivorsSigned(Message):
    """One survivor set is signed: which one, and the shares that may leave once t members signed the same."""

    kind: ClassVar[str] = "state/signed"
    layout: ClassVar[Mapping[str, Field[Any]]] = {
        "statement": HASH,
        "survivors": indices(),
        "cohort": indices(),
        "shares": by_index(SHARES),
    }
    statement: bytes
    survivors: tuple[int, ...]
    cohort: tuple[int, ...]
    shares: Mapping[int, tuple[bytes, bytes]]
