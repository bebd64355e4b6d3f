"""A consortium's folder becomes its running gateway, which follows the manifest: who is revoked is out at once."""

from __future__ import annotations

import logging
from pathlib import Path

from fedcredit.link import caddy
from fedcredit.link.authority import new_key_and_csr
from fedcredit.link.caddy import Caddy, LinkDown
from fedcredit.link.running import free_port
from fedcredit.trust.manifest import Manifest
from fedcredit.trust.words import host_of
from server.consortium.authorities import serving
from server.consortium.home import Consortium
from server.gateway import Passes, Place, gateway_config
from server.superlink_files import SuperLinkFiles

log = logging.getLogger(__name__)
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class GatewayProcess:
    """The gateway of one consortium: started, started again, and told of every new manifest."""

    def __init__(self, consortium: Consortium) -> None:
        self._consortium = consortium
        self._folder = consortium.places.folder / "run" / "gateway"
        self._metrics_port = free_port()
        self._caddy: Caddy | None = None
        self._served = 0

    def look(self) -> Manifest:
        """Serve what the manifest in force says; nothing happens where that is so already. Gives the manifest."""
        manifest = self._consortium.current()
        if self._caddy is None or not self._caddy.is_running:
            self._caddy = caddy.start(self._config(manifest), folder=self._folder)
        elif manifest.version != self._served:
            log.info("manifest %s", manifest.version)
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
    """The gateway's certificate and key, made where they are not there yet, while the authority's key is here."""
    folder = consortium.places.folder / "gateway"
    folder.mkdir(mode=0o700, exist_ok=True)
    certificate, key = folder / "server.crt", folder / "server.key"
    if not certificate.exists():
        key.unlink(missing_ok=True)  # of an attempt that broke off
        csr = new_key_and_csr(key, name="gateway")
        host = host_of(consortium.settings.gateway)
        days = consortium.settings.certificate_days
        pem = serving(consortium.places).issue(csr, role="server", name="gateway", days=days, hosts=[host])
        certificate.write_text(pem)
    return certificate, key
