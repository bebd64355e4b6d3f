"""A new key becomes a file that only its owner reads, and a request for a certificate that may travel."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fedcredit.errors import FedCreditError
from fedcredit.trust.keys import KeyFileRefused, require_private

Role = Literal["institution", "operator", "server"]
MAX_PEM_BYTES = 16 * 1024  # a P-256 request or certificate has under 2 KB
MAX_NAME_BYTES = 64  # X.520, ub-common-name


class CertificateRefused(FedCreditError):
    """A certificate or a request for one is unreadable, not what its place asks for, or not of this consortium."""

    code = "certificate"


def new_key_and_csr(key_path: Path, *, name: str) -> str:
    """Make a P-256 key file of mode 0600 and a request for it in PEM. Raises KeyFileRefused if there is a file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = subject_name(name, role=None)
    write_private(key_path, key_pem(key))
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode("ascii")


def read_csr(pem: str) -> ec.EllipticCurvePublicKey:
    """The public key that a request asks a certificate for. Raises CertificateRefused unless that key signed it."""
    try:
        request = x509.load_pem_x509_csr(pem_bytes(pem))
        key, is_signed = request.public_key(), request.is_signature_valid
    except (ValueError, TypeError, x509.InvalidVersion):
        raise CertificateRefused("certificate request", found="another format", expected="PKCS #10 in PEM") from None
    except Exception as fault:  # cryptography's UnsupportedAlgorithm and its own parse errors share no base
        raise CertificateRefused("certificate request", found=type(fault).__name__, expected="ECDSA P-256") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CertificateRefused("certificate request", found="another kind of key", expected="ECDSA P-256")
    if not is_signed:
        raise CertificateRefused("certificate request", found="a signature of another key", expected="its own")
    return key


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The P-256 key in a file. Raises KeyFileRefused if others may read it, or if it is none."""
    require_private(path)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyFileRefused(path.name, found="another format", expected="an ECDSA P-256 key in PEM")
    return key


def write_private(path: Path, data: bytes) -> None:
    """Write a new file of mode 0600, whole or not at all. Raises KeyFileRefused if there is one already."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, this never replaces a key that exists
    except FileExistsError:
        raise KeyFileRefused(path.name, found="a key file", expected="none", hint="a key is replaced by hand") from None
    finally:
        draft.unlink()


def subject_name(name: str, *, role: Role | None) -> x509.Name:
    """CN=name, OU=role. Raises CertificateRefused if no certificate can carry the name."""
    if not 0 < len(name.encode()) <= MAX_NAME_BYTES or not name.isprintable():
        raise CertificateRefused(
            "name of a certificate", found=f"{len(name.encode())} bytes", expected=f"1 to {MAX_NAME_BYTES}, printable"
        )
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if role:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role))
    return x509.Name(attributes)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The private key as PKCS #8 in PEM: for a file of mode 0600 and nothing else."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def pem_bytes(pem: str) -> bytes:
    """The text as bytes. Raises CertificateRefused if it is too long, or not ASCII."""
    if len(pem) > MAX_PEM_BYTES or not pem.isascii():
        raise CertificateRefused("PEM", found=f"{len(pem)} characters", expected=f"ASCII, at most {MAX_PEM_BYTES}")
    return pem.encode("ascii")
