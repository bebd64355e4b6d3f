"""An institution's request to join (.fcreq) becomes a checked value, and back.

It is signed by the identity that it presents, and the certificate request in it by its own key, so both keys are really
held where it was made. Nothing in it is secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from fedcredit.errors import ConfigError, PolicyRefused
from fedcredit.strict import build
from fedcredit.trust.certificates import checked_csr, flower_line
from fedcredit.trust.entries import identity_of
from fedcredit.trust.envelope import open_sealed, peek, seal, signers_of
from fedcredit.trust.keys import Identity, PublicIdentity
from fedcredit.trust.words import checked_name, moment_of, moment_text, whole_second

Role = Literal["institution", "operator"]
REQUEST: Mapping[Role, str] = {"institution": "request", "operator": "operator-request"}
MAX_REQUEST_BYTES = 256 * 1024  # two keys, a certificate request, a few signatures of 7 KB
MAX_WORD = 200


class RequestRefused(PolicyRefused):
    """A request to join says what cannot be, or its certificate request is not of the key that it names."""

    code = "request"


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


def _check_flower_key(said: str, *, role: Role) -> None:
    if said != (flower_line(said) if role == "institution" else ""):
        raise ConfigError("flower_key", found="more than a key", expected="the key alone")


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
