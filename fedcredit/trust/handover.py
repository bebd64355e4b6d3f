"""A change of the officers becomes a record that the old ones and the new ones have signed.

Who knows an old manifest trusts its officers only. The records of all changes since, in order, lead to the officers
of today, even for a node that slept through several changes; TUF's chain of root files does the same (The Update
Framework, specification 1.0, 5.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedcredit.errors import ConfigError
from fedcredit.strict import build
from fedcredit.trust.entries import check_once, identity_of
from fedcredit.trust.envelope import SealBroken, open_sealed, peek, seal
from fedcredit.trust.keys import Identity, PublicIdentity
from fedcredit.trust.words import checked_name, same_name

KIND = "handover"
MAX_OFFICERS = 20


@dataclass(frozen=True)
class Officers:
    """Who signs for a consortium from the manifest's `version` on, and how many of them it takes."""

    consortium: str
    version: int
    threshold: int
    identities: Mapping[str, PublicIdentity]

    def __post_init__(self) -> None:
        check_officers(self.identities, threshold=self.threshold)

    def open(self, data: bytes, *, kind: str) -> None:
        """Return if enough of them have signed the file. Raises SealBroken."""
        open_sealed(data, kind=kind, signers=self.identities.values(), threshold=self.threshold)


@dataclass(frozen=True)
class _Body:
    consortium: str
    version: int
    threshold: int
    officers: Mapping[str, str]


def seal_handover(officers: Officers, *, by: Sequence[Identity]) -> str:
    """The record that these officers take over, signed by the old and the new ones in `by`."""
    body = {
        "consortium": officers.consortium,
        "version": officers.version,
        "threshold": officers.threshold,
        "officers": {name: identity.to_bytes().hex() for name, identity in officers.identities.items()},
    }
    return seal(body, kind=KIND, by=by).decode()


def follow(records: Sequence[str], *, known: Officers, version: int) -> Officers:
    """The officers at the manifest's `version`, from those known before, through every record of a change since.

    Raises:
        SealBroken: a record is not signed by the officers before it and by those that it names.
    """
    trusted = known
    for record in records:
        data = record.encode()
        new = officers_in(data)
        if new.version <= trusted.version:
            continue
        if new.consortium != known.consortium or new.version > version:
            raise SealBroken(KIND, found="a change in another manifest", expected="one up to this version")
        trusted.open(data, kind=KIND)
        new.open(data, kind=KIND)
        trusted = new
    return trusted


def officers_in(data: bytes) -> Officers:
    """The officers that a record names, not verified. Raises SealBroken if it is no record."""
    try:
        body = build(_Body, peek(data, kind=KIND), where=KIND, complete=True)
        identities = {name: identity_of(key, where=f"officer {name[:80]}") for name, key in body.officers.items()}
        return Officers(body.consortium, body.version, body.threshold, identities)
    except ConfigError as fault:
        raise SealBroken(fault.where, found=fault.found, expected=fault.expected) from None


def check_officers(officers: Mapping[str, PublicIdentity], *, threshold: int) -> None:
    """Return if `threshold` different people of these can sign. Raises ConfigError."""
    for name in officers:
        checked_name(name, where="officer")
    check_once("officer", [same_name(name) for name in officers])
    check_once("officer", [identity.fingerprint for identity in officers.values()])
    if not 0 < threshold <= len(officers) <= MAX_OFFICERS:
        found, expected = f"{threshold} of {len(officers)}", f"1 or more, of at most {MAX_OFFICERS} officers"
        raise ConfigError("threshold", found=found, expected=expected)
