"""An institution's name becomes four keys that never leave, and a signed request to join with their public halves."""

from __future__ import annotations

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


def make_request(home: NodeHome, *, institution: str) -> bytes:
    """The .fcreq of this node, kept in its folder too; the keys are made where they are not there.

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
    make_keys(home, institution=institution)
    identity = Identity.load(home.identity)
    request = Request(
        institution=institution,
        identity=identity.public,
        csr=certificate_request(home, institution=institution),
        flower_key=flower_public(home),
        environment=environment(home.folder),
    )
    data = write_request(request, by=identity)
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
