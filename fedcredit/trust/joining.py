"""The two files of joining - an institution's request and the consortium's answer - become checked values, and back.

A request (.fcreq) is signed by the identity that it presents, and the certificate request in it by its own key, so both
keys are really held where it was made. An answer (.fcjoin) is signed by the consortium's officers; who receives it
compares one fingerprint by telephone, and everything in it hangs on that.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from fedcredit.errors import ConfigError, PolicyRefused
from fedcredit.strict import build
from fedcredit.trust.certificates import certificate_digest, checked_csr, checked_leaf, flower_line
from fedcredit.trust.entries import Package, identity_of
from fedcredit.trust.envelope import add_signature, open_sealed, peek, seal, signers_of, with_body
from fedcredit.trust.fingerprint import read_fingerprint
from fedcredit.trust.keys import Identity, PublicIdentity
from fedcredit.trust.manifest import Manifest, manifest_digest, open_manifest
from fedcredit.trust.words import checked_name, moment_of, moment_text, whole_second

Role = Literal["institution", "operator"]
REQUEST: Mapping[Role, str] = {"institution": "request", "operator": "operator-request"}
JOIN: Mapping[Role, str] = {"institution": "join", "operator": "operator-join"}
MAX_REQUEST_BYTES = 256 * 1024  # two keys, a certificate request, a few signatures of 7 KB
MAX_POLICY = 64 * 1024
MAX_WORD = 200


class RequestRefused(PolicyRefused):
    """A request to join says what cannot be, or its certificate request is not of the key that it names."""

    code = "request"


class JoinRefused(PolicyRefused):
    """An answer to a request does not fit together, is for somebody else, or has expired."""

    code = "join"


@dataclass(frozen=True)
class Environment:
    """What a node runs on, as it says: versions, sizes and its clock; empty text where a package is not installed."""

    python: str
    platform: str
    fedcredit: str
    flwr: str
    torch: str
    cpus: int
    memory_gib: float
    disk_free_gib: float
    clock_utc: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "clock_utc", whole_second(self.clock_utc))


@dataclass(frozen=True)
class Request:
    """What an institution sends to join: names, public keys and the report of its machine; nothing in it is secret.

    An operator's request has the same fields under role "operator", without a Flower key.
    """

    institution: str
    identity: PublicIdentity
    csr: str
    flower_key: str
    environment: Environment
    role: Role = "institution"


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
class _EnvironmentBody:
    python: str
    platform: str
    fedcredit: str
    flwr: str
    torch: str
    cpus: int
    memory_gib: float
    disk_free_gib: float
    clock_utc: str


@dataclass(frozen=True)
class _RequestBody:
    institution: str
    identity: str
    csr: str
    flower_key: str
    environment: _EnvironmentBody


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


def write_request(request: Request, *, by: Identity, also: Sequence[Identity] = ()) -> bytes:
    """The .fcreq file, signed by the institution; `also` the identity that it had before, where it replaces one."""
    body = {
        "institution": request.institution,
        "identity": request.identity.to_bytes().hex(),
        "csr": request.csr,
        "flower_key": flower_line(request.flower_key) if request.role == "institution" else "",
        "environment": asdict(request.environment) | {"clock_utc": moment_text(request.environment.clock_utc)},
    }
    return seal(body, kind=REQUEST[request.role], by=[by, *also])


def read_request(data: bytes, *, role: Role = "institution") -> Request:
    """The request in the file, after both of its keys have shown that they are held where it was made.

    Raises:
        SealBroken: it is no request, or not signed by the identity that it presents.
        RequestRefused: it says what cannot be, or the signature of its certificate request does not hold.
    """
    if len(data) > MAX_REQUEST_BYTES:
        raise RequestRefused(REQUEST[role], found=f"{len(data)} bytes", expected=f"at most {MAX_REQUEST_BYTES}")
    try:
        body = build(_RequestBody, peek(data, kind=REQUEST[role]), where=REQUEST[role], complete=True)
        identity = identity_of(body.identity, where="identity")
        open_sealed(data, kind=REQUEST[role], signers=[identity], threshold=1)
        checked_name(body.institution, where=role)
        checked_csr(body.csr, name=body.institution)
        _check_flower_key(body.flower_key, role=role)
        environment = _environment(body.environment)
    except ConfigError as fault:
        raise RequestRefused(fault.where, found=fault.found, expected=fault.expected, hint=fault.hint) from None
    return Request(body.institution, identity, body.csr, body.flower_key, environment, role)


def signed_also_by(data: bytes, identities: Iterable[PublicIdentity], *, role: Role = "institution") -> set[str]:
    """The fingerprints of those that have signed the request: who replaces an identity signs with the old one too."""
    return signers_of(data, kind=REQUEST[role], signers=identities)


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


def _check_flower_key(said: str, *, role: Role) -> None:
    if said != (flower_line(said) if role == "institution" else ""):
        raise ConfigError("flower_key", found="more than a key", expected="the key alone")


def _short(policy: str) -> str:
    if len(policy) > MAX_POLICY:
        raise ConfigError("policy", found=f"{len(policy)} letters", expected=f"at most {MAX_POLICY}")
    return policy


def _environment(body: _EnvironmentBody) -> Environment:
    for name, said in asdict(body).items():
        if isinstance(said, str) and (len(said) > MAX_WORD or not said.isprintable()):
            raise ConfigError(f"environment.{name}", found="long or unprintable text", expected=f"{MAX_WORD} letters")
    return Environment(
        body.python,
        body.platform,
        body.fedcredit,
        body.flwr,
        body.torch,
        body.cpus,
        body.memory_gib,
        body.disk_free_gib,
        moment_of(body.clock_utc, where="environment.clock_utc"),
    )
