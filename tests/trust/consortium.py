"""A small consortium: officers, an X.509 authority, an institution that asks to join, and what it is answered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from fedcredit.trust.certificates import certificate_digest
from fedcredit.trust.joining import Environment, Join, Request
from fedcredit.trust.keys import Identity
from fedcredit.trust.manifest import Manifest, Member, Operator, Package, StudyRule, seal_manifest

NOW = datetime(2027, 1, 15, 8, 30, tzinfo=UTC)
NAMES = ("ann", "bob", "eve")


def name_of(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def csr_pem(name: str, key: Any = None) -> str:
    key = key or ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(name_of(name)).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode()


def flower_key() -> str:
    public = ec.generate_private_key(ec.SECP384R1()).public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@dataclass(frozen=True)
class Issuer:
    """An X.509 authority in memory."""

    key: ec.EllipticCurvePrivateKey
    pem: str

    @classmethod
    def new(cls, name: str = "pearl") -> Issuer:
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(key, certificate(name, key.public_key(), issuer=name, signed_by=key))

    def issue(self, csr: str, *, name: str) -> str:
        public = x509.load_pem_x509_csr(csr.encode()).public_key()
        return certificate(name, public, issuer="pearl", signed_by=self.key)


def certificate(name: str, public: Any, *, issuer: str, signed_by: ec.EllipticCurvePrivateKey) -> str:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of(name))
        .issuer_name(name_of(issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=365))
    )
    return builder.sign(signed_by, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@lru_cache
def identities() -> dict[str, Identity]:
    """Officers, their successors and an institution; made once, since they are only keys."""
    return {name: Identity.generate() for name in (*NAMES, "new-ann", "new-bob", "harbour", "other")}


def officer_keys(*names: str) -> list[Identity]:
    return [identities()[name] for name in names or NAMES]


@lru_cache
def issuer() -> Issuer:
    return Issuer.new()


@lru_cache
def request() -> Request:
    """A request of the institution `harbour`."""
    environment = Environment(
        python="3.11.9",
        platform="Linux",
        fedcredit="0.1.0",
        flwr="1.41.0",
        torch="2.9.0",
        cpus=2,
        memory_gib=15.5,
        disk_free_gib=40.25,
        clock_utc=NOW,
    )
    return Request("harbour", identities()["harbour"].public, csr_pem("harbour"), flower_key(), environment)


@lru_cache
def harbour_certificate() -> str:
    return issuer().issue(request().csr, name="harbour")


def manifest(version: int = 1, **other: Any) -> Manifest:
    """A manifest with one member, one operator, one study and two of three officers."""
    harbour = Member(
        "harbour", request().identity, request().flower_key, certificate_digest(harbour_certificate()), "active", NOW
    )
    said = Manifest(
        consortium="pearl",
        version=version,
        issued=NOW,
        expires=NOW + timedelta(days=90),
        threshold=2,
        officers={name: identities()[name].public for name in NAMES},
        members=(harbour,),
        operators=(Operator("desk", "d" * 64, "active", NOW),),
        studies=(StudyRule("quickstart", "credit-risk", ("b" * 64,), {"type": "object"}, NOW + timedelta(days=30)),),
        packages=(Package("fedcredit", "0.1.0", "a" * 64),),
        gateway="gateway.example:443",
        authority=issuer().pem,
    )
    return replace(said, **other)


def sealed(version: int = 1, *, by: tuple[str, ...] = ("ann", "bob"), **other: Any) -> bytes:
    return seal_manifest(manifest(version, **other), by=officer_keys(*by))


@lru_cache
def first() -> bytes:
    """The first version; every signature of a lattice is another one, so it is signed once."""
    return sealed()


def join(**other: Any) -> Join:
    """What the consortium answers to `request`."""
    said = Join(
        consortium="pearl",
        institution="harbour",
        certificate=harbour_certificate(),
        authority=issuer().pem,
        gateway="gateway.example:443",
        server_name="gateway.example",
        manifest=first(),
        policy="institution: harbour\n",
        software=manifest().packages,
        issued=NOW,
        expires=NOW + timedelta(days=14),
    )
    return replace(said, **other)
