"""The authority in force becomes a server's key and certificate: kept while they hold, and made anew in time.

A certificate holds while it is of the authority that serves and is not about to end. So the servers follow a change of
authority, and a certificate that nobody looked after does not run out.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fedcredit.errors import FedCreditError
from fedcredit.link.authority import CERTIFICATE_FILE, KEY_FILE, new_key_and_csr, read_certificate, read_key
from fedcredit.trust.certificates import is_issued_by
from fedcredit.trust.files import write_whole
from fedcredit.trust.words import host_of
from server.consortium.authorities import serving, serving_folder
from server.consortium.settings import Places, Settings

log = logging.getLogger(__name__)
RENEW_BEFORE = timedelta(days=30)
RENEW_PART = 3  # or a third of its span, where that is shorter
SUPERLINK_DAYS = 3650  # on loopback, of the consortium's own authority


@dataclass(frozen=True)
class Certified:
    """A server's key and certificate in a folder of their own."""

    folder: Path
    name: str
    hosts: tuple[str, ...]
    days: int

    @property
    def certificate(self) -> Path:
        """What it shows."""
        return self.folder / "server.crt"

    @property
    def key(self) -> Path:
        """The key of that certificate."""
        return self.folder / "server.key"

    def keep(self, places: Places) -> None:
        """Make both what they should be; where the authority's key was taken away, what is there goes on being used.

        Raises:
            KeyFileRefused, CertificateRefused: there is nothing yet, and no authority that could issue it.
        """
        if not self._new_certificate.exists() and self._holds(places):
            return
        is_there = self.certificate.exists() and self.key.exists()
        if is_there and not (serving_folder(places) / KEY_FILE).exists():
            log.warning("the certificate of the %s has to be issued anew, and the authority's key is away", self.name)
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self.folder):
            self._finish()
            if not self._holds(places):
                self._issue(places)

    def _holds(self, places: Places) -> bool:
        try:
            found = read_certificate(self.certificate.read_text(encoding="ascii"))
            issuer = read_certificate((serving_folder(places) / CERTIFICATE_FILE).read_text(encoding="ascii"))
            is_ours = found.public_key() == read_key(self.key).public_key()
        except (OSError, ValueError, FedCreditError):
            return False
        span = found.not_valid_after_utc - found.not_valid_before_utc
        left = found.not_valid_after_utc - datetime.now(UTC)
        is_in_time = left > min(RENEW_BEFORE, span / RENEW_PART)
        return is_ours and is_in_time and is_issued_by(found, issuer)

    def _issue(self, places: Places) -> None:
        """Both new files are whole before one of the old ones goes: see `_finish`."""
        authority = serving(places)
        csr = new_key_and_csr(self._new_key, name=self.name)
        pem = authority.issue(csr, role="server", name=self.name, days=self.days, hosts=self.hosts)
        write_whole(self._new_certificate, pem.encode())
        self._finish()

    def _finish(self) -> None:
        """Put both new files in the place of the old ones, also after a crash between the two.

        The new certificate is written after the new key: where it is there, so is the key, or the key has moved.
        """
        if not self._new_certificate.exists():
            self._new_key.unlink(missing_ok=True)  # of an issue that broke off
            return
        if self._new_key.exists():
            self._new_key.replace(self.key)
        self._new_certificate.replace(self.certificate)

    @property
    def _new_certificate(self) -> Path:
        return self.folder / "new.crt"

    @property
    def _new_key(self) -> Path:
        return self.folder / "new.key"


def gateway_certified(places: Places, settings: Settings) -> Certified:
    """Of the gateway, for the host of its address."""
    host = host_of(settings.gateway)
    return Certified(places.folder / "gateway", "gateway", (host,), settings.certificate_days)


def superlink_certified(folder: Path) -> Certified:
    """Of the SuperLink on loopback, in the consortium's folder; nodes sign in over TLS only."""
    return Certified(folder / "superlink", "superlink", ("127.0.0.1", "localhost"), SUPERLINK_DAYS)


def certify_servers(places: Places, settings: Settings) -> None:
    """Renew what is there already: done when a version comes into force, while the authority's key is at hand."""
    for one in (gateway_certified(places, settings), superlink_certified(places.folder)):
        if one.certificate.exists():
            one.keep(places)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One at a time: gateway and SuperLink may be started by processes of their own."""
    lock = os.open(folder / ".lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
