"""An institution's name becomes four keys that never leave, and a signed request to join with their public halves."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)
from cryptography.x509.oid import NameOID

from clients.environment import environment
from clients.home import NodeHome
from fedcredit.errors import PolicyRefused
from fedcredit.link.authority import new_key_and_csr, read_key, write_private
from fedcredit.trust.files import write_whole
from fedcredit.trust.joining import Request, read_request, write_request
from fedcredit.trust.keys import Identity, KeyFileRefused, require_private
from fedcredit.trust.words import checked_name


def make_request(home: NodeHome, *, institution: str, has_new_keys: bool = False) -> bytes:
    """The .fcreq of this node, kept in its folder too; the keys are made where they are not there.

    `has_new_keys` puts those aside that are there; the identity of before signs the request too.

    Raises:
        PolicyRefused: the folder is another institution's.
        KeyFileRefused, CertificateRefused: see `make_keys`.
    """
    checked_name(institution, where="INSTITUTION")
    if home.request.exists():
        named = read_request(home.request.read_bytes()).institution
        if named != institution:
            hint = "one folder is one node: --home FOLDER names another"
            raise PolicyRefused(str(home.folder), found=f"the node of {named}", expected=institution, hint=hint)
    home.make()
    before = [Identity.load(home.identity)] if has_new_keys and home.identity.exists() else []
    if has_new_keys or not home.identity.exists():
        put_aside(home, keys=(home.identity, home.flower, home.tls_key) if has_new_keys else ())
    make_keys(home, institution=institution)
    identity = Identity.load(home.identity)
    request = Request(
        institution=institution,
        identity=identity.public,
        csr=certificate_request(home, institution=institution),
        flower_key=flower_public(home),
        environment=environment(home.folder),
    )
    data = write_request(request, by=identity, also=before)
    write_whole(home.request, data)
    return data


def make_keys(home: NodeHome, *, institution: str) -> None:
    """Make each key that is not there yet, mode 0600; one that is there is kept, so a second request is the same node.

    Raises:
        KeyFileRefused: a key that is there may be read by others, or is none.
        CertificateRefused: the name cannot stand in a certificate.
    """
    if not home.tls_key.exists():
        new_key_and_csr(home.tls_key, name=institution)
    for path in (home.identity, home.officer):
        if not path.exists() and not (path == home.officer and home.officer_public.exists()):
            Identity.generate().save(path)
    if home.officer.exists():  # else the officer keeps it elsewhere
        write_whole(home.officer_public, Identity.load(home.officer).public.to_bytes().hex().encode() + b"\n")
    if not home.flower.exists():
        key = ec.generate_private_key(ec.SECP384R1())  # the only kind that Flower's node authentication takes
        write_private(home.flower, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))


def put_aside(home: NodeHome, *, keys: Sequence[Path]) -> None:
    """Move the keys, and the audit log that the old identity signed, into a folder of their own under old/.

    A log is signed by one identity from its first line to its last; the next one begins a new log.
    """
    logs = [path for path in home.folder.glob(f"{home.audit_log.name}*") if path.is_file()]
    found = [path for path in (*keys, *logs) if path.exists()]
    if found:
        target = home.folder / "old" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        target.mkdir(parents=True, mode=0o700)
        for path in found:
            path.rename(target / path.name)


def certificate_request(home: NodeHome, *, institution: str) -> str:
    """A request in PEM for the key of the link, made anew from the key that is there.

    Raises:
        KeyFileRefused: see `read_key`.
    """
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, institution)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(read_key(home.tls_key), hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def flower_public(home: NodeHome) -> str:
    """The public half of the node's Flower key, as the one line of OpenSSH that a SuperLink registers.

    Raises:
        KeyFileRefused: the file is missing, open to others, or no ECDSA key on P-384.
    """
    require_private(home.flower)
    try:
        key = load_ssh_private_key(home.flower.read_bytes(), None)
    except ValueError:
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP384R1):
        raise KeyFileRefused(home.flower.name, found="another key", expected="an ECDSA key on P-384, in OpenSSH format")
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
