"""A consortium in a test's hand: officers, an authority, and the answers that it gives to requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fedcredit.link.authority import Authority, certificate_sha256
from fedcredit.trust.joining import Join, Request, read_request, write_join
from fedcredit.trust.keys import Identity
from fedcredit.trust.manifest import Manifest, Member, Package, StudyRule, seal_manifest

NOW = datetime.now(UTC).replace(microsecond=0)
POLICY = """\
institution: {name}
purposes: [credit-risk]
studies: ["*"]
expires: {until}
highest_level: 4
epsilon: {{run: 4, lifetime: 8}}
smallest_cohort: 4
"""


@dataclass
class Consortium:
    """Two officers of three sign; `members` grows with every answer, and with it the manifest's version."""

    folder: Path
    name: str = "pearl-river"
    gateway: str = "127.0.0.1:4443"
    officers: dict[str, Identity] = field(
        default_factory=lambda: {n: Identity.generate() for n in ("li", "wang", "xu")}
    )
    members: list[Member] = field(default_factory=list)
    packages: Sequence[Package] = ()
    studies: Sequence[StudyRule] = ()
    version: int = 0

    def __post_init__(self) -> None:
        self.authority = Authority.create(self.folder / "authority", name=self.name)

    @property
    def signers(self) -> list[Identity]:
        return [self.officers["li"], self.officers["xu"]]

    def manifest(self, **other: Any) -> Manifest:
        said: dict[str, Any] = {
            "consortium": self.name,
            "version": self.version,
            "issued": NOW - timedelta(hours=1),
            "expires": NOW + timedelta(days=90),
            "threshold": 2,
            "officers": {name: one.public for name, one in self.officers.items()},
            "members": tuple(self.members),
            "operators": (),
            "studies": tuple(self.studies),
            "packages": tuple(self.packages),
            "gateway": self.gateway,
            "authority": self.authority.pem,
        }
        return Manifest(**{**said, **other})

    @property
    def fingerprint(self) -> str:
        return self.manifest(version=1).root_fingerprint

    def enrol(self, asked: Request, *, days: int = 365, now: datetime = NOW) -> str:
        """The certificate of a new member."""
        certificate = self.authority.issue(asked.csr, role="institution", name=asked.institution, days=days, now=now)
        digest = certificate_sha256(certificate)
        kept = [one for one in self.members if one.name != asked.institution]
        member = Member(asked.institution, asked.identity, asked.flower_key, digest, "active", NOW)
        self.members, self.version = [*kept, member], self.version + 1
        return certificate

    def answer(
        self,
        request: bytes,
        *,
        days: int = 365,
        by: Sequence[Identity] | None = None,
        manifest: dict[str, Any] | None = None,
        **other: Any,
    ) -> bytes:
        """The .fcjoin for a .fcreq, with parts of it other than they should be."""
        asked = read_request(request)
        certificate = self.enrol(asked, days=days)
        signers = self.signers if by is None else by
        sealed = seal_manifest(self.manifest(**(manifest or {})), by=self.signers)
        said: dict[str, Any] = {
            "consortium": self.name,
            "institution": asked.institution,
            "certificate": certificate,
            "authority": self.authority.pem,
            "gateway": self.gateway,
            "server_name": "localhost",
            "manifest": sealed,
            "policy": POLICY.format(name=asked.institution, until=(NOW + timedelta(days=200)).date()),
            "software": tuple(self.packages),
            "issued": NOW,
            "expires": NOW + timedelta(days=14),
        }
        return write_join(Join(**{**said, **other}), by=signers)
