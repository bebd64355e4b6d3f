"""A certificate request becomes a certificate of the consortium.

The authority is one self-signed X.509 certificate (ECDSA P-256, path length 0) in a folder of the platform. What it
signs lets a program open a connection; what that connection may reach is decided by the certificate's SHA-256 in the
signed membership manifest, so that a stolen authority key alone admits nobody.

    authority = Authority.create(folder, name="pearl-river")
    csr = new_key_and_csr(Path("tls.key"), name="harbour-bank")           # at the institution
    leaf = authority.issue(csr, role="institution", name="harbour-bank", days=365)
    certificate_sha256(leaf)                                              # what the manifest names
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from fedcredit.link.keyfile import (
    MAX_PEM_BYTES,
    CertificateRefused,
    Role,
    key_pem,
    new_key_and_csr,
    pem_bytes,
    read_csr,
    read_key,
    subject_name,
    write_private,
)
from fedcredit.trust.keys import KeyFileRefused

__all__ = [
    "Authority",
    "CertificateRefused",
    "Role",
    "certificate_sha256",
    "check_leaf",
    "new_key_and_csr",
    "read_certificate",
    "read_csr",
    "read_key",
    "write_private",
]

BACKDATED = timedelta(hours=1)  # a node whose clock is behind still accepts a new certificate
KEY_FILE, CERTIFICATE_FILE = "ca.key", "ca.crt"


@dataclass(frozen=True, repr=False)
class Authority:
    """The consortium's certificate and its key; the key stays in the folder."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        return f"Authority({self.certificate.subject.rfc4514_string()})"

    @property
    def pem(self) -> str:
        """The certificate that everyone pins."""
        return _pem(self.certificate)

    @classmethod
    def create(cls, folder: Path, *, name: str, days: int = 3650, now: datetime | None = None) -> Authority:
        """A new authority in `folder` (`ca.key` 0600, `ca.crt`), both files or none.

        Raises:
            KeyFileRefused: the folder has something in it already.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject, start = subject_name(name, role=None), _now(now)
        certificate = (
            _builder(subject, issuer=subject, key=key.public_key(), issuer_key=key.public_key())
            .not_valid_before(start - BACKDATED)
            .not_valid_after(start + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(is_authority=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}")
        draft.mkdir(mode=0o700)
        write_private(draft / KEY_FILE, key_pem(key))
        (draft / CERTIFICATE_FILE).write_text(_pem(certificate), encoding="ascii")
        try:
            draft.rename(folder)  # takes the place of nothing, or of an empty folder, never of an authority
        except OSError:
            for file in (KEY_FILE, CERTIFICATE_FILE):
                (draft / file).unlink()
            draft.rmdir()
            raise KeyFileRefused(
                folder.name, found="files", expected="an empty folder", hint="an authority is replaced by hand"
            ) from None
        return cls(certificate, key)

    @classmethod
    def load(cls, folder: Path) -> Authority:
        """The authority in `folder`. Raises KeyFileRefused or CertificateRefused when it is none."""
        certificate = read_certificate(_text(folder / CERTIFICATE_FILE))
        key = read_key(folder / KEY_FILE)
        if certificate.public_key() != key.public_key():
            raise CertificateRefused(
                CERTIFICATE_FILE, found="another key's certificate", expected=f"that of {KEY_FILE}"
            )
        return cls(certificate, key)

    def issue(
        self,
        csr_pem: str,
        *,
        role: Role,
        name: str,
        days: int,
        hosts: Sequence[str] = (),
        now: datetime | None = None,
    ) -> str:
        """A leaf certificate in PEM with CN=name, OU=role for the key of a request; nothing else is taken from it.

        A server's has `hosts` (names and addresses) as subject alternative names and only serves; the others only
        call. It ends with the authority at the latest.

        Raises:
            CertificateRefused: the request is unreadable, of another kind of key, or not signed by its own key.
        """
        if role not in get_args(Role) or bool(hosts) != (role == "server"):
            raise ValueError("a server has hosts, institution and operator have none")
        key = read_csr(csr_pem)
        start = _now(now)
        end = min(start + timedelta(days=days), self.certificate.not_valid_after_utc)
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if role == "server" else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            _builder(
                subject_name(name, role=role),
                issuer=self.certificate.subject,
                key=key,
                issuer_key=self.key.public_key(),
            )
            .not_valid_before(min(start, end) - BACKDATED)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(is_authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_host(h) for h in hosts]), critical=False)
        return _pem(builder.sign(self.key, hashes.SHA256()))


def certificate_sha256(pem: str) -> str:
    """SHA-256 of the certificate's DER in lower-case hex: what the manifest names and the gateway compares."""
    return hashlib.sha256(read_certificate(pem).public_bytes(serialization.Encoding.DER)).hexdigest()


def check_leaf(pem: str, *, authority: str, key_path: Path, role: Role, name: str, now: datetime) -> None:
    """Return if the certificate is what this machine may use: the authority's, in time, of this role, name and key.

    Raises:
        CertificateRefused: it is not; the error says in what.
    """
    leaf, issuer = read_certificate(pem), read_certificate(authority)
    try:
        leaf.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        raise _refused(found="one that another authority signed", expected="one of the consortium") from None
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        span = f"{leaf.not_valid_before_utc:%Y-%m-%d %H:%M} to {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        raise _refused(found=f"one that is valid from {span}", expected=f"valid at {now:%Y-%m-%d %H:%M} UTC")
    if leaf.subject != subject_name(name, role=role):
        raise _refused(found=leaf.subject.rfc4514_string(), expected=subject_name(name, role=role).rfc4514_string())
    if leaf.public_key() != read_key(key_path).public_key():
        raise _refused(found="another key's certificate", expected=f"that of {key_path.name}")


def read_certificate(pem: str) -> x509.Certificate:
    """The one certificate in a PEM text. Raises CertificateRefused if it is none or more."""
    try:
        found = x509.load_pem_x509_certificates(pem_bytes(pem))
    except ValueError:
        found = []
    if len(found) != 1:
        raise _refused(found=f"{len(found)} certificates", expected="one, in PEM")
    return found[0]


def _builder(
    subject: x509.Name, *, issuer: x509.Name, key: ec.EllipticCurvePublicKey, issuer_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")[: MAX_PEM_BYTES + 1]
    except (OSError, ValueError):
        raise CertificateRefused(path.name, found="no readable file", expected="a certificate in PEM") from None


def _now(now: datetime | None) -> datetime:
    return (now or datetime.now(UTC)).replace(microsecond=0)


def _refused(*, found: str, expected: str) -> CertificateRefused:
    return CertificateRefused("certificate", found=found, expected=expected)
