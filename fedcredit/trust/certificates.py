"""PEM and OpenSSH text becomes keys and certificates that were checked: form, curve, size and own signature."""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_public_key,
)
from cryptography.x509.oid import NameOID

from fedcredit.errors import ConfigError

MAX_PEM = 16 * 1024  # a P-256 certificate is under 1 KB


def certificates_in(pem: str, *, where: str, most: int = 1) -> list[x509.Certificate]:
    """The 1 to `most` certificates in the text. Raises ConfigError if there is none, or something else beside them."""
    try:
        found = x509.load_pem_x509_certificates(pem[:MAX_PEM].encode("ascii"))
        written = "".join(one.public_bytes(Encoding.PEM).decode() for one in found)
    except (ValueError, UnsupportedAlgorithm):
        found, written = [], ""
    if not 0 < len(found) <= most or written.split() != pem.split():
        raise ConfigError(where, found="other text", expected=f"PEM of at most {most} X.509 certificates, nothing else")
    return found


def certificate_digest(pem: str, *, where: str = "certificate", most: int = 1) -> str:
    """SHA-256 of the (first) certificate's DER in hex: what a gateway sees of a caller. Raises ConfigError."""
    return hashlib.sha256(certificates_in(pem, where=where, most=most)[0].public_bytes(Encoding.DER)).hexdigest()


def checked_leaf(pem: str, *, name: str, authority: str, where: str = "certificate") -> x509.Certificate:
    """The certificate, if one of the consortium's authorities has issued it to `name`. Raises ConfigError."""
    leaf = certificates_in(pem, where=where)[0]
    if not any(is_issued_by(leaf, issuer) for issuer in certificates_in(authority, where="authority", most=2)):
        raise ConfigError(where, found="one of another authority", expected="one that the consortium has issued")
    if common_name(leaf.subject) != name:
        raise ConfigError(where, found="one of another name", expected=name)
    return leaf


def checked_csr(pem: str, *, name: str, where: str = "csr") -> x509.CertificateSigningRequest:
    """The certificate request, if its key is of P-256, has signed it, and it asks for `name`. Raises ConfigError."""
    try:
        csr = x509.load_pem_x509_csr(pem[:MAX_PEM].encode("ascii"))
        key, is_signed, written = csr.public_key(), csr.is_signature_valid, csr.public_bytes(Encoding.PEM).decode()
    except (ValueError, UnsupportedAlgorithm, InvalidSignature):
        raise ConfigError(where, found="no certificate request", expected="PEM of one") from None
    if written.split() != pem.split():
        raise ConfigError(where, found="more than a certificate request", expected="PEM of one")
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise ConfigError(where, found="another kind of key", expected="ECDSA P-256")
    if not is_signed:
        raise ConfigError(where, found="a signature that does not hold", expected="one by the key that it names")
    if common_name(csr.subject) != name:
        raise ConfigError(where, found="a request for another name", expected=name)
    return csr


def flower_line(said: str, *, where: str = "flower_key") -> str:
    """The OpenSSH public key of a Flower node without its comment. Raises ConfigError if it is not ECDSA P-384."""
    try:
        key = load_ssh_public_key(said.encode("ascii")) if len(said) < MAX_PEM else None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP384R1):
        raise ConfigError(where, found="another key", expected="a line ecdsa-sha2-nistp384 ...")
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def common_name(subject: x509.Name) -> str | None:
    """The one common name of a subject, or nothing."""
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else None


def is_issued_by(leaf: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the issuer has signed the certificate."""
    try:
        leaf.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
