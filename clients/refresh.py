"""What the gateway serves becomes the newest manifest here, and with it the roster and what the tunnel trusts.

One that does not stand is not taken, and the node goes on by the one that it has until that runs out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from clients.facts import NodeFacts
from clients.home import NodeHome
from clients.tunnel import node_ends
from fedcredit.errors import FedCreditError
from fedcredit.link.fetch import fetch
from fedcredit.link.running import KeptTunnel
from fedcredit.trust.envelope import MAX_FILE_BYTES
from fedcredit.trust.files import write_whole
from fedcredit.trust.keys import PublicIdentity
from fedcredit.trust.manifest import Manifest, ManifestFile, open_manifest
from fedcredit.trust.roster import write_roster

log = logging.getLogger(__name__)

REFRESH_SECONDS = 60.0  # how soon a node learns of a new manifest while nobody asks it anything
ANSWER_SECONDS = 30.0
MANIFEST_PATH = "/v1/manifest"


def last_manifest(home: NodeHome) -> Manifest:
    """The manifest that is kept, verified, also one that has run out: good for finding the gateway and nothing else.

    Raises:
        ManifestRefused, SealBroken: there is none, or not the newest that was ever seen here.
    """
    file = ManifestFile(home.manifest)
    return file.read(now=open_manifest(file.data()).issued)


class Refresh:
    """The newest manifest of one node that runs; `on_members` is called when the members have changed."""

    def __init__(
        self,
        home: NodeHome,
        facts: NodeFacts,
        last: Manifest,
        *,
        tunnel: KeptTunnel,
        on_members: Callable[[], None],
    ) -> None:
        self._home, self._facts, self._tunnel, self._on_members = home, facts, tunnel, on_members
        self._due = 0.0
        self._members: dict[str, PublicIdentity] = {}
        self._follow(last)

    def if_due(self) -> None:
        """Fetch it where a minute has passed."""
        if time.monotonic() >= self._due:
            self.now()

    def if_unknown(self, bundle: str) -> None:
        """Fetch it where the one that is kept does not know the bundle: it may have been allowed a moment ago."""
        if not any(bundle in rule.bundles for rule in self._manifest.studies):
            self.now()

    def now(self) -> None:
        """Fetch it; a fault is logged, and it is tried again."""
        self._due = time.monotonic() + REFRESH_SECONDS
        try:
            # A certificate that `node join` has renewed: the gateway may know the former one no more.
            self._tunnel.go_by(node_ends(self._home, self._facts, self._manifest))
            url = f"http://{self._tunnel.address}{MANIFEST_PATH}"
            data = fetch(url, most=MAX_FILE_BYTES, seconds=ANSWER_SECONDS)
            self._follow(ManifestFile(self._home.manifest).accept(data, now=datetime.now(UTC)))
        except (FedCreditError, OSError) as fault:
            log.warning("no new manifest: %s", fault)

    def _follow(self, manifest: Manifest) -> None:
        """New members make a new roster, which the worker reads when it starts again."""
        self._manifest, self.version = manifest, manifest.version
        members = {member.name: member.identity for member in manifest.active_members}
        if members != self._members:
            self._members = members
            write_roster(self._home.roster, members)
            self._on_members()
        self._tunnel.go_by(node_ends(self._home, self._facts, manifest))
        authority = manifest.authority.encode("ascii")
        try:
            if not self._home.authority.exists() or self._home.authority.read_bytes() != authority:
                write_whole(self._home.authority, authority)
        except OSError as fault:  # for who reads it; the tunnel goes by the manifest
            log.warning("%s stays as it was: %s", self._home.authority.name, fault)
