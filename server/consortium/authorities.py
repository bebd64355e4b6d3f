"""The X.509 authority in force, the one before and the one to come become folders that agree with the manifest."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from fedcredit.errors import ConfigError
from fedcredit.link.authority import CERTIFICATE_FILE, KEY_FILE, Authority, certificate_sha256
from fedcredit.trust.certificates import certificate_digest, certificates_in, is_issued_by
from fedcredit.trust.manifest import Manifest
from server.consortium.certificates import issued
from server.consortium.settings import Places


def serving(places: Places) -> Authority:
    """The authority that issues the servers' certificates.

    While one authority takes over from another it is the old one: members may not know the new one yet.
    """
    return Authority.load(serving_folder(places))


def serving_folder(places: Places) -> Path:
    """The folder of that authority; its certificate is there also where its key was taken away."""
    return places.old_authority if places.old_authority.exists() else places.authority


def successor(places: Places, *, name: str, now: datetime) -> str:
    """The PEM of the authority that is to take over, made where there is none yet.

    Raises:
        ConfigError: the last change of authority is not finished.
    """
    if places.old_authority.exists():
        raise ConfigError(
            "authority",
            found="a change that is not finished",
            expected="one authority",
            hint="fedcredit consortium rotate authority --finish",
        )
    coming = _coming(places)
    return (Authority.load(coming) if coming.exists() else Authority.create(coming, name=name, now=now)).pem


def settle(places: Places, manifest: Manifest) -> None:
    """Make the folders say what the manifest in force says; what is done already stays, so a crash does no harm."""
    pems = certificates_in(manifest.authority, where="authority", most=2)
    coming = _coming(places)
    if coming.exists() and certificate_digest(manifest.authority, most=2) == certificate_sha256(
        (coming / CERTIFICATE_FILE).read_text(encoding="ascii")
    ):
        if places.authority.exists():
            places.authority.rename(places.old_authority)
        coming.rename(places.authority)
    if len(pems) == 1 and places.old_authority.exists():
        for name in (KEY_FILE, CERTIFICATE_FILE):
            (places.old_authority / name).unlink(missing_ok=True)
        places.old_authority.rmdir()


def not_moved(places: Places, manifest: Manifest) -> list[str]:
    """Active members and operators whose certificate is not of the authority that is to stay."""
    authority = certificates_in(manifest.authority, where="authority", most=2)[0]
    held = [(one.name, one.certificate) for one in manifest.active_members]
    held += [(one.name, one.certificate) for one in manifest.active_operators]
    leaves = [(name, issued(places, digest)) for name, digest in held]
    return [name for name, leaf in leaves if leaf is None or not is_issued_by(leaf, authority)]


def _coming(places: Places) -> Path:
    return places.authority.with_name("authority.new")
