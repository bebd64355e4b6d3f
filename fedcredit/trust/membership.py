"""Who belongs to a consortium, and what it allows, becomes one value that checks itself, and a body of JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from fedcredit.errors import ConfigError, PolicyRefused
from fedcredit.strict import build
from fedcredit.trust.certificates import certificate_digest, certificates_in
from fedcredit.trust.entries import (
    Member,
    MemberBody,
    Operator,
    OperatorBody,
    Package,
    StudyBody,
    StudyRule,
    check_apart,
    check_once,
    identity_of,
)
from fedcredit.trust.handover import check_officers
from fedcredit.trust.keys import PublicIdentity, transcript
from fedcredit.trust.words import checked_address, checked_name, moment_of, moment_text, same_name, whole_second

KIND = "manifest"
ROOT_LABEL = b"fedcredit/v1/root"
MAX_MEMBERS = 2000  # revoked ones included; 4 KB each
MAX_STUDIES = 200
MAX_HANDOVERS = 32  # the last changes of the officers; who slept through more joins anew


class ManifestRefused(PolicyRefused):
    """A manifest is older than the one that is known, has expired, is of another consortium, or says what cannot be."""

    code = "manifest"


@dataclass(frozen=True)
class Manifest:
    """One version of a consortium's manifest; it checks itself as it is built.

    Revoked members stay in the list: their keys and certificates never come back under any name. `authority` is the PEM
    of the X.509 authority, or of two while one takes over from the other, the newer first. `handovers` are signed
    records of changes of the officers (see trust/handover.py): they lead who knows an old version to the new officers.
    """

    consortium: str
    version: int
    issued: datetime
    expires: datetime
    threshold: int
    officers: Mapping[str, PublicIdentity]
    members: tuple[Member, ...]
    operators: tuple[Operator, ...]
    studies: tuple[StudyRule, ...]
    packages: tuple[Package, ...]
    gateway: str
    authority: str
    handovers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checked_name(self.consortium, where="consortium")
        checked_address(self.gateway, where="gateway")
        certificates_in(self.authority, where="authority", most=2)
        object.__setattr__(self, "issued", whole_second(self.issued))
        object.__setattr__(self, "expires", whole_second(self.expires))
        if self.version < 1:
            raise ConfigError("version", found=str(self.version), expected="1 or more")
        if self.expires <= self.issued:
            raise ConfigError("expires", found=moment_text(self.expires), expected="a moment after it was issued")
        check_officers(self.officers, threshold=self.threshold)
        for name, size, most in (
            ("members", len(self.members), MAX_MEMBERS),
            ("operators", len(self.operators), MAX_MEMBERS),
            ("studies", len(self.studies), MAX_STUDIES),
            ("packages", len(self.packages), MAX_STUDIES),
            ("handovers", len(self.handovers), MAX_HANDOVERS),
        ):
            if size > most:
                raise ConfigError(name, found=str(size), expected=f"at most {most}")
        check_apart("member", [(one.name, one.status) for one in self.members])
        check_apart("operator", [(one.name, one.status) for one in self.operators])
        check_once("study", [same_name(one.study) for one in self.studies])
        check_once("identity", [one.identity.fingerprint for one in self.members])
        check_once("flower_key", [one.flower_key for one in self.members])
        certificates = [one.certificate for one in self.members] + [one.certificate for one in self.operators]
        check_once("certificate", certificates)

    @property
    def root_fingerprint(self) -> str:
        """What a newcomer compares on the telephone: SHA-256 over consortium, threshold, officers and authority."""
        officers = sorted(identity.fingerprint for identity in self.officers.values())
        authority = certificate_digest(self.authority, most=2)
        parts = [self.consortium, str(self.threshold), *officers, authority]
        return hashlib.sha256(transcript(ROOT_LABEL, *(part.encode() for part in parts))).hexdigest()

    @property
    def active_members(self) -> tuple[Member, ...]:
        """Those that are not revoked."""
        return tuple(one for one in self.members if one.status == "active")

    @property
    def active_operators(self) -> tuple[Operator, ...]:
        """Those that are not revoked."""
        return tuple(one for one in self.operators if one.status == "active")

    def member(self, name: str) -> Member | None:
        """The active member of this name."""
        return next((one for one in self.active_members if one.name == name), None)

    def operator(self, name: str) -> Operator | None:
        """The active operator of this name."""
        return next((one for one in self.active_operators if one.name == name), None)

    def rule_for(self, study: str) -> StudyRule | None:
        """The rule of the study, expired or not."""
        return next((one for one in self.studies if one.study == study), None)

    def body(self) -> dict[str, Any]:
        """The manifest as JSON has it."""
        return {
            "consortium": self.consortium,
            "version": self.version,
            "issued": moment_text(self.issued),
            "expires": moment_text(self.expires),
            "threshold": self.threshold,
            "officers": {name: identity.to_bytes().hex() for name, identity in self.officers.items()},
            "members": [asdict(MemberBody.of(one)) for one in self.members],
            "operators": [asdict(OperatorBody.of(one)) for one in self.operators],
            "studies": [asdict(StudyBody.of(one)) for one in self.studies],
            "packages": [asdict(one) for one in self.packages],
            "gateway": self.gateway,
            "authority": self.authority,
            "handovers": list(self.handovers),
        }

    @staticmethod
    def from_body(raw: Mapping[str, Any]) -> Manifest:
        """The manifest in a body. Raises ManifestRefused if a field is missing, unknown, or says what cannot be."""
        try:
            body = build(_Body, raw, where=KIND, complete=True)
            return Manifest(
                consortium=body.consortium,
                version=body.version,
                issued=moment_of(body.issued, where="issued"),
                expires=moment_of(body.expires, where="expires"),
                threshold=body.threshold,
                officers={name: identity_of(key, where=f"officer {name[:80]}") for name, key in body.officers.items()},
                members=tuple(one.value() for one in body.members),
                operators=tuple(one.value() for one in body.operators),
                studies=tuple(one.value() for one in body.studies),
                packages=body.packages,
                gateway=body.gateway,
                authority=body.authority,
                handovers=body.handovers,
            )
        except ConfigError as fault:
            raise ManifestRefused(fault.where, found=fault.found, expected=fault.expected, hint=fault.hint) from None


@dataclass(frozen=True)
class _Body:
    consortium: str
    version: int
    issued: str
    expires: str
    threshold: int
    officers: Mapping[str, str]
    members: tuple[MemberBody, ...]
    operators: tuple[OperatorBody, ...]
    studies: tuple[StudyBody, ...]
    packages: tuple[Package, ...]
    gateway: str
    authority: str
    handovers: tuple[str, ...]
