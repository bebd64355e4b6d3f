"""Plain HTTP on this machine becomes mutual TLS to the gateway: what an institution and an operator both dial through.

Python's TLS has no post-quantum key exchange and Flower's commands show no certificate; the tunnel does both for
them. It passes on only what its role may ask the gateway for, and nothing that a web page sends.

    caddy.start(tunnel_config(ends, port=8443, role="institution"), folder=home / "run" / "tunnel")
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedcredit.link.authority import CERTIFICATE_FILE, KEY_FILE, Authority, new_key_and_csr
from fedcredit.link.parts import MAX_BODY_BYTES, Part, apps, curves, forward, is_uri, limited, server, trusted

TunnelRole = Literal["institution", "operator"]
WAYS = {"institution": "fleet/[a-z-]+|manifest", "operator": r"control/[a-z-]+|manifest|studies/[A-Za-z0-9._/-]+"}
SCORES = r"score(?:/[A-Za-z0-9._~%-]+){0,2}"  # a scoring service behind the gateway; its callers have tokens
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Ends:
    """Both ends of a tunnel: the gateway and who vouches for it, and this machine's own certificate."""

    gateway: str  # "host:port"
    server_name: str
    authority: str  # PEM
    certificate: Path
    key: Path
    require_pq: bool = True
    proxy: str | None = None  # the institution's own way out, "http://host:port"


@dataclass(frozen=True)
class Patience:
    """How long a tunnel waits."""

    retry_seconds: float = 3.0  # for a gateway that restarts; Caddy is back within one
    silence_seconds: float = 30.0  # for any byte from the gateway; then the connection counts as dead


@dataclass(frozen=True)
class LocalTls:
    """A second listener with TLS, for Flower's own supernode, which takes no key without TLS."""

    port: int
    certificate: Path
    key: Path


def local_certificate(folder: Path, *, port: int) -> tuple[Path, LocalTls]:
    """A new certificate for this machine alone, and the root that `flower-supernode --root-certificates` takes.

    The root's key is deleted at once: nobody can ever issue a second certificate under it.
    """
    shutil.rmtree(folder, ignore_errors=True)
    root = Authority.create(folder, name="this machine")
    (folder / KEY_FILE).unlink()
    key, certificate = folder / "local.key", folder / "local.crt"
    csr = new_key_and_csr(key, name="tunnel")
    pem = root.issue(csr, role="server", name="tunnel", days=3650, hosts=[LOOPBACK, "localhost"])
    certificate.write_text(pem, encoding="ascii")
    return folder / CERTIFICATE_FILE, LocalTls(port, certificate, key)


def tunnel_config(
    ends: Ends, *, port: int, role: TunnelRole, local: LocalTls | None = None, patience: Patience | None = None
) -> Part:
    """Caddy's configuration of a tunnel that listens on the loopback interface.

    With `require_pq` it offers X25519MLKEM768 and nothing else, so a gateway without it cannot be reached at all.

    Raises:
        ConfigError: the authority is no certificate.
    """
    too_long, limit = limited(MAX_BODY_BYTES)
    patience = patience or Patience()
    tls: Part = {
        "ca": trusted(ends.authority),
        "server_name": ends.server_name,
        "client_certificate_file": str(ends.certificate.absolute()),
        "client_certificate_key_file": str(ends.key.absolute()),
        "curves": curves(require_pq=ends.require_pq),
    }
    way = forward(
        ends.gateway, tls=tls, versions=("1.1", "2"), idle_seconds=120, set_headers={"Host": [ends.server_name]}
    )
    # A request waits while the gateway restarts. Only on the fleet's way one that was sent already is sent again: its
    # messages have their own ids, but a study that is submitted twice would run twice.
    again = [{"method": ["POST"], "path": ["/v1/fleet/*"]}]
    way["load_balancing"] = {
        "try_duration": f"{patience.retry_seconds:g}s",
        "try_interval": "100ms",
        "retry_match": again,
    }
    if role == "institution":
        way["request_buffers"] = MAX_BODY_BYTES
        # A network that swallows everything says nothing, and a request would hang until TCP gives up. Flower's node
        # waits no longer than this itself; an operator's log may be silent for longer.
        way["transport"]["read_timeout"] = f"{patience.silence_seconds:g}s"
    way["transport"]["network_proxy"] = {"from": "url", "url": ends.proxy} if ends.proxy else {"from": "none"}
    ports = [port, *([local.port] if local else [])]
    hosts = [f"{name}:{each}" for name in (LOOPBACK, "localhost") for each in ports]
    own: Part = {"header": {"Host": hosts}, "not": [{"header": {"Origin": ["*"]}}]}
    ways = {WAYS[role]: way, SCORES: _with_token(way)}
    routes = [too_long]
    for uri, handler in ways.items():
        match = {**is_uri(f"/v1/(?:{uri})"), **own}
        routes.append({"match": [match], "handle": [limit, handler], "terminal": True})
    servers = {"tunnel": server(f"{LOOPBACK}:{port}", routes)}
    if local is None:
        return apps(servers)
    shown: Part = {"protocol_min": "tls1.3", "alpn": ["http/1.1"], "default_sni": LOOPBACK, "fallback_sni": LOOPBACK}
    servers["local"] = server(f"{LOOPBACK}:{local.port}", routes, tls=shown)
    pair = {"certificate": str(local.certificate.absolute()), "key": str(local.key.absolute())}
    return apps(servers, certificates=[pair])


def _with_token(way: Part) -> Part:
    """The same way, on which a caller's token is passed on."""
    request = way["headers"]["request"]
    kept = {**request, "delete": [name for name in request["delete"] if name != "Authorization"]}
    return {**way, "headers": {**way["headers"], "request": kept}}
