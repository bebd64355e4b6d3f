"""A node's folder becomes its outgoing tunnel: Caddy on loopback, started again whenever it dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clients.facts import NodeFacts
from clients.home import NodeHome
from fedcredit.link.running import KeptTunnel, kept_tunnel
from fedcredit.link.tunnel import Ends, LocalTls
from fedcredit.trust.manifest import Manifest
from fedcredit.trust.words import host_of

TUNNEL_FOLDER = "tunnel"  # in the run folder


@contextmanager
def node_tunnel(
    home: NodeHome, facts: NodeFacts, manifest: Manifest, *, local: LocalTls | None = None
) -> Iterator[KeptTunnel]:
    """The tunnel to the gateway that the manifest names, while it is open.

    Raises:
        LinkDown: Caddy does not start.
    """
    folder: Path = home.run / TUNNEL_FOLDER
    ends = node_ends(home, facts, manifest)
    with kept_tunnel(ends, folder=folder, role="institution", port=facts.tunnel_port, local=local) as tunnel:
        yield tunnel


def node_ends(home: NodeHome, facts: NodeFacts, manifest: Manifest) -> Ends:
    """Both ends by what the officers have signed: which gateway, and whose certificates it may show."""
    return Ends(
        gateway=manifest.gateway,
        server_name=facts.server_name or host_of(manifest.gateway),
        authority=manifest.authority,
        certificate=home.tls_certificate,
        key=home.tls_key,
        require_pq=facts.require_pq,
        proxy=facts.proxy,
    )
