"""Issued certificates become files by SHA-256; those that are out of force lie apart, so that no old key comes back."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fedcredit.link.authority import certificate_sha256
from fedcredit.trust.certificates import certificates_in
from fedcredit.trust.files import write_whole
from fedcredit.trust.manifest import Manifest, open_manifest
from server.consortium.settings import Places


def keep(places: Places, pem: str) -> str:
    """Keep an issued certificate, to know later when it ends. Gives its SHA-256."""
    digest = certificate_sha256(pem)
    write_whole(places.certificates / f"{digest}.crt", pem.encode(), mode=0o644)
    return digest


def issued(places: Places, digest: str) -> x509.Certificate | None:
    """The certificate of this SHA-256, if it was issued here and was not taken out of force."""
    path = places.certificates / f"{digest}.crt"
    return _read(path) if path.is_file() else None


def retire(places: Places, manifest: Manifest) -> None:
    """Put aside the certificates that the version before still had in force; done twice, it does no harm."""
    path = places.version(manifest.version - 1)
    if not path.is_file():
        return
    for digest in _in_force(open_manifest(path.read_bytes())) - _in_force(manifest):
        file = places.certificates / f"{digest}.crt"
        if file.is_file():
            _retired(places).mkdir(exist_ok=True, mode=0o700)
            file.rename(_retired(places) / file.name)


def was_retired(places: Places, key: CertificatePublicKeyTypes, *, held: str | None) -> bool:
    """Whether a certificate for this key was taken out of force, and the one `held` now is for another key.

    A request can be sent again by whoever has kept a copy. Without this, an old one would bring back a TLS key that was
    replaced because it had leaked.
    """
    now = issued(places, held) if held else None
    if now is not None and _bytes(now.public_key()) == _bytes(key):
        return False
    return any(_bytes(_read(path).public_key()) == _bytes(key) for path in _retired(places).glob("*.crt"))


def _in_force(manifest: Manifest) -> set[str]:
    return {one.certificate for one in manifest.active_members} | {one.certificate for one in manifest.active_operators}


def _retired(places: Places) -> Path:
    return places.certificates / "retired"


def _read(path: Path) -> x509.Certificate:
    return certificates_in(path.read_text(encoding="ascii"), where=path.name)[0]


def _bytes(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
