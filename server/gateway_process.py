"""A consortium's folder becomes its running gateway, which follows the manifest: who is revoked is out at once."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fedcredit.link import caddy
from fedcredit.link.authority import KEY_FILE, new_key_and_csr
from fedcredit.link.caddy import Caddy, LinkDown
from fedcredit.link.running import free_port
from fedcredit.trust.certificates import certificates_in
from fedcredit.trust.manifest import Manifest
from fedcredit.trust.words import host_of
from server.consortium.authorities import serving
from server.consortium.home import Consortium
from server.following import Followed
from server.gateway import Passes, Place, gateway_config
from server.superlink_files import SuperLinkFiles

log = logging.getLogger(__name__)
RELOAD_SECONDS = 86_400.0  # a certificate that has run out is noticed on a connection that is still open only then
RENEW_DAYS = 30  # before the gateway's own certificate runs out
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class GatewayProcess:
    """The gateway of one consortium: started, started again, and told of every new manifest."""

    def __init__(self, consortium: Consortium) -> None:
        self._consortium, self._followed = consortium, Followed(consortium)
        self._folder = consortium.places.folder / "run" / "gateway"
        self._metrics_port = free_port()
        self._caddy: Caddy | None = None
        self._served, self._reloaded = 0, 0.0

    def look(self) -> Manifest:
        """Serve what the manifest in force says; nothing happens where that is so already. Gives the manifest."""
        manifest = self._followed.current()
        if self._caddy is None or not self._caddy.is_running:
            self._caddy = caddy.start(self._config(manifest), folder=self._folder)
            self._reloaded = time.monotonic()
        elif manifest.version != self._served or time.monotonic() > self._reloaded + RELOAD_SECONDS:
            log.info("manifest %s", manifest.version)
            self._reloaded = time.monotonic()
            try:
                self._caddy.reload(self._config(manifest))
            except LinkDown:
                # What is served may let in somebody who is out by now: better nobody for a moment.
                self._caddy.stop()
                raise
        self._served = manifest.version
        return manifest

    def stop(self) -> None:
        """End it."""
        if self._caddy is not None:
            self._caddy.stop()

    def _config(self, manifest: Manifest) -> dict[str, object]:
        home, settings = self._consortium.places.folder, self._consortium.settings
        host, _, port = settings.gateway.rpartition(":")
        certificate, key = prepare_gateway(self._consortium)
        studies = home / "studies"
        studies.mkdir(exist_ok=True)
        place = Place(
            listen=settings.gateway if host in LOOPBACK else f":{port}",
            server_name=settings.server_name,
            certificate=certificate,
            key=key,
            superlink=SuperLinkFiles(home).address,
            manifest=self._consortium.places.manifest,
            studies=studies,
            metrics_port=self._metrics_port,
            require_pq=settings.require_pq,
        )
        return gateway_config(Passes.of(manifest), place)


def prepare_gateway(consortium: Consortium) -> tuple[Path, Path]:
    """The gateway's certificate and key: made where there are none, and anew before they run out.

    Either takes the authority's key; where that was taken away, a certificate that still holds goes on being used.
    """
    folder = consortium.places.folder / "gateway"
    folder.mkdir(mode=0o700, exist_ok=True)
    certificate, key = folder / "server.crt", folder / "server.key"
    if certificate.exists() and (_holds(certificate) or not (consortium.places.authority / KEY_FILE).exists()):
        return certificate, key
    certificate.unlink(missing_ok=True)
    key.unlink(missing_ok=True)
    csr = new_key_and_csr(key, name="gateway")
    host = host_of(consortium.settings.gateway)
    days = consortium.settings.certificate_days
    pem = serving(consortium.places).issue(csr, role="server", name="gateway", days=days, hosts=[host])
    certificate.write_text(pem)
    return certificate, key


def _holds(certificate: Path) -> bool:
    """Whether it does for another month."""
    (found,) = certificates_in(certificate.read_text(encoding="ascii"), where=certificate.name)
    return found.not_valid_after_utc > datetime.now(UTC) + timedelta(days=RENEW_DAYS)
