"""The consortium's answer to a request (.fcjoin) becomes a checked value, and back.

Its officers sign it. Who receives it compares one fingerprint by telephone, and everything in it hangs on that.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from fedcredit.errors import ConfigError, PolicyRefused
from fedcredit.strict import build
from fedcredit.trust.certificates import certificate_digest, checked_leaf
from fedcredit.trust.entries import Package
from fedcredit.trust.envelope import add_signature, open_sealed, peek, seal, with_body
from fedcredit.trust.fingerprint import read_fingerprint
from fedcredit.trust.joining_request import Role
from fedcredit.trust.keys import Identity
from fedcredit.trust.manifest import Manifest, manifest_digest, open_manifest
from fedcredit.trust.words import checked_name, moment_of, moment_text, whole_second

JOIN: Mapping[Role, str] = {"institution": "join", "operator": "operator-join"}
MAX_POLICY = 64 * 1024


class JoinRefused(PolicyRefused):
    """An answer to a request does not fit together, is for somebody else, or has expired."""

    code = "join"


@dataclass(frozen=True)
class Join:
    """What the consortium answers: the certificate, the way to the gateway, the manifest and a draft of the policy."""

    consortium: str
    institution: str
    certificate: str
    authority: str
    gateway: str
    server_name: str
    manifest: bytes
    policy: str
    software: tuple[Package, ...]
    issued: datetime
    expires: datetime
    role: Role = "institution"

    def __post_init__(self) -> None:
        object.__setattr__(self, "issued", whole_second(self.issued))
        object.__setattr__(self, "expires", whole_second(self.expires))

    def members(self) -> Manifest:
        """The manifest that came with it, signed by its own officers. Raises SealBroken or ManifestRefused."""
        return open_manifest(self.manifest)


@dataclass(frozen=True)
class _JoinBody:
    consortium: str
    institution: str
    certificate: str
    authority: str
    gateway: str
    server_name: str
    manifest: str
    policy: str
    software: tuple[Package, ...]
    issued: str
    expires: str


def write_join(join: Join, *, by: Sequence[Identity]) -> bytes:
    """The .fcjoin file, with a signature of each officer in `by`."""
    draft = draft_join(join)
    for officer in by:
        draft = add_signature(draft, kind=JOIN[join.role], by=officer)
    return finish_join(draft, manifest=join.manifest, role=join.role)


def draft_join(join: Join) -> bytes:
    """What the officers sign of an answer: it has the digest of the manifest's content in the manifest's place.

    So the answer stays the same while the manifest collects its signatures, and each officer signs both in one go.
    """
    body = {
        "consortium": join.consortium,
        "institution": join.institution,
        "certificate": join.certificate,
        "authority": join.authority,
        "gateway": join.gateway,
        "server_name": join.server_name,
        "manifest": manifest_digest(join.manifest),
        "policy": join.policy,
        "software": [asdict(package) for package in join.software],
        "issued": moment_text(join.issued),
        "expires": moment_text(join.expires),
    }
    return seal(body, kind=JOIN[join.role], by=[])


def finish_join(draft: bytes, *, manifest: bytes, role: Role = "institution") -> bytes:
    """The .fcjoin file of a draft that the officers have signed: the signed manifest comes into its place."""
    body = peek(draft, kind=JOIN[role]) | {"manifest": base64.b64encode(manifest).decode()}
    return with_body(draft, kind=JOIN[role], body=body)


def read_join(data: bytes, *, fingerprint: str, now: datetime, role: Role = "institution") -> Join:
    """The answer in the file, after everything in it was found to hang on the fingerprint that a person compared.

    The fingerprint names the officers; they have signed the manifest and this answer; the manifest lists this
    certificate for this institution; the consortium's authority has issued it.

    Raises:
        SealBroken: it is no answer, or has too few signatures of the officers.
        FingerprintRefused: it is another consortium's, or fewer than 16 digits were given.
        ManifestRefused: its manifest says what cannot be, or has expired.
        JoinRefused: its parts do not fit together, or it has expired.
    """
    body = peek(data, kind=JOIN[role])
    join, manifest = join_of(body, role=role)
    read_fingerprint(fingerprint, of=manifest.root_fingerprint)
    signed = with_body(data, kind=JOIN[role], body=body | {"manifest": manifest_digest(join.manifest)})
    open_sealed(signed, kind=JOIN[role], signers=manifest.officers.values(), threshold=manifest.threshold)
    open_manifest(join.manifest, now=now)
    if now >= join.expires:
        raise JoinRefused(
            JOIN[role], found=f"one that expired on {moment_text(join.expires)}", expected="one that holds now"
        )
    _check_fit(join, manifest)
    return join


def join_of(raw: Mapping[str, Any], *, role: Role = "institution") -> tuple[Join, Manifest]:
    """The answer in a body and its manifest; nobody's signature on the answer was looked at.

    Raises:
        JoinRefused: it says what cannot be.
        SealBroken, ManifestRefused: its manifest is none, or is not signed by its own officers.
    """
    try:
        body = build(_JoinBody, raw, where=JOIN[role], complete=True)
        join = Join(
            consortium=body.consortium,
            institution=checked_name(body.institution, where=role),
            certificate=body.certificate,
            authority=body.authority,
            gateway=body.gateway,
            server_name=checked_name(body.server_name, where="server_name"),
            manifest=base64.b64decode(body.manifest, validate=True),
            policy=_short(body.policy),
            software=body.software,
            issued=moment_of(body.issued, where="issued"),
            expires=moment_of(body.expires, where="expires"),
            role=role,
        )
    except ConfigError as fault:
        raise JoinRefused(fault.where, found=fault.found, expected=fault.expected, hint=fault.hint) from None
    except (binascii.Error, ValueError):
        raise JoinRefused("manifest", found="other text", expected="base64 of a signed manifest") from None
    return join, open_manifest(join.manifest)


def _check_fit(join: Join, manifest: Manifest) -> None:
    listed = manifest.member(join.institution) if join.role == "institution" else manifest.operator(join.institution)
    try:
        digest = certificate_digest(join.certificate)
        checked_leaf(join.certificate, name=join.institution, authority=manifest.authority)
    except ConfigError as fault:
        raise JoinRefused(fault.where, found=fault.found, expected=fault.expected) from None
    for name, said, signed in (
        ("consortium", join.consortium, manifest.consortium),
        ("authority", join.authority, manifest.authority),
        ("gateway", join.gateway, manifest.gateway),
        ("certificate", digest, listed.certificate if listed else "that of an active member"),
    ):
        if said != signed:
            raise JoinRefused(name, found="another than its manifest lists", expected=f"{signed[:64]}")


def _short(policy: str) -> str:
    if len(policy) > MAX_POLICY:
        raise ConfigError("policy", found=f"{len(policy)} letters", expected=f"at most {MAX_POLICY}")
    return policy
