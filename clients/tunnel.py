"""A node's folder becomes its outgoing tunnel: Caddy on loopback, started again whenever it dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clients.facts import NodeFacts
from clients.home import NodeHome
from fedcredit.link.running import kept_tunnel
from fedcredit.link.tunnel import Ends, LocalTls
from fedcredit.trust.words import host_of

TUNNEL_FOLDER = "tunnel"  # in the run folder


@contextmanager
def node_tunnel(home: NodeHome, facts: NodeFacts, *, gateway: str, local: LocalTls | None = None) -> Iterator[str]:
    """The address of the tunnel's end on this machine, while it is open.

    Raises:
        LinkDown: Caddy does not start.
    """
    ends = Ends(
        gateway=gateway,
        server_name=facts.server_name or host_of(gateway),
        authority=home.authority.read_text(encoding="ascii"),
        certificate=home.tls_certificate,
        key=home.tls_key,
        require_pq=facts.require_pq,
        proxy=facts.proxy,
    )
    folder: Path = home.run / TUNNEL_FOLDER
    with kept_tunnel(ends, folder=folder, role="institution", port=facts.tunnel_port, local=local) as address:
        yield address
