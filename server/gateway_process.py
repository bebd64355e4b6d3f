"""A consortium's folder becomes its running gateway, which follows the manifest: who is revoked is out at once."""

from __future__ import annotations

import logging
import time

from fedcredit.link import caddy
from fedcredit.link.caddy import Caddy, LinkDown
from fedcredit.link.running import free_port
from fedcredit.trust.manifest import Manifest
from server.certified import gateway_certified
from server.consortium.home import Consortium
from server.following import Followed
from server.gateway import Passes, Place, gateway_config
from server.superlink_files import SuperLinkFiles

log = logging.getLogger(__name__)
RELOAD_SECONDS = 86_400.0  # a certificate that has run out is noticed on a connection that is still open only then
CERTIFICATE_SECONDS = 2.0  # between two looks at the gateway's own certificate
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class GatewayProcess:
    """The gateway of one consortium: started, started again, and told of every new manifest."""

    def __init__(self, consortium: Consortium) -> None:
        self._consortium, self._followed = consortium, Followed(consortium)
        self._folder = consortium.places.folder / "run" / "gateway"
        self._metrics_port = 0
        self._caddy: Caddy | None = None
        self._certified = gateway_certified(consortium.places, consortium.settings)
        self._served, self._shown, self._reloaded, self._looked = 0, b"", 0.0, 0.0

    def look(self) -> Manifest:
        """Serve what the manifest in force says; nothing happens where that is so already. Gives the manifest."""
        manifest = self._followed.current()
        shown = self._certificate()
        if self._caddy is None or not self._caddy.is_running:
            self._metrics_port = free_port()  # anew at each start: somebody may have taken the one before
            self._caddy = caddy.start(self._config(manifest), folder=self._folder)
            self._reloaded = time.monotonic()
        elif (
            manifest.version != self._served
            or shown != self._shown
            or time.monotonic() > self._reloaded + RELOAD_SECONDS
        ):
            log.info("manifest %s", manifest.version)
            self._reloaded = time.monotonic()
            try:
                self._caddy.reload(self._config(manifest))
            except LinkDown:
                # What is served may let in somebody who is out by now: better nobody for a moment.
                self._caddy.stop()
                raise
        self._served, self._shown = manifest.version, shown
        return manifest

    def _certificate(self) -> bytes:
        """The certificate to show; every other second it is made anew where it no longer holds."""
        if time.monotonic() > self._looked + CERTIFICATE_SECONDS or not self._looked:
            self._looked = time.monotonic()
            self._certified.keep(self._consortium.places)
            return self._certified.certificate.read_bytes()
        return self._shown

    def stop(self) -> None:
        """End it."""
        if self._caddy is not None:
            self._caddy.stop()

    def _config(self, manifest: Manifest) -> dict[str, object]:
        home, settings = self._consortium.places.folder, self._consortium.settings
        host, _, port = settings.gateway.rpartition(":")
        studies = home / "studies"
        studies.mkdir(exist_ok=True)
        place = Place(
            listen=settings.gateway if host in LOOPBACK else f":{port}",
            server_name=settings.server_name,
            certificate=self._certified.certificate,
            key=self._certified.key,
            superlink=SuperLinkFiles(home).address,
            manifest=self._consortium.places.manifest,
            studies=studies,
            metrics_port=self._metrics_port,
            require_pq=settings.require_pq,
            scoring=settings.scoring,
        )
        return gateway_config(Passes.of(manifest), place)
