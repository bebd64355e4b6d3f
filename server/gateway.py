"""A signed manifest becomes the one door of the platform: who may send what to the SuperLink, and who gets which file.

Caddy asks every caller for a certificate of the consortium's authority (TLS 1.3 only), and for every single request
looks its SHA-256 up in the manifest's list. So a revoked member is out at the next request, also on a connection that
is already open. What nobody is named for is answered 403: Flower's Runtime API, its pages, every other spelling of a
path.

    caddy.start(gateway_config(Passes.of(manifest), place), folder=home / "run" / "gateway")
    running.reload(gateway_config(Passes.of(newer), place))
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

from fedcredit.errors import ConfigError
from fedcredit.link.parts import (
    MAX_BODY_BYTES,
    Part,
    apps,
    curves,
    forward,
    is_uri,
    limited,
    server,
    trusted,
)
from fedcredit.trust.membership import Manifest
from server.gateway_scoring import scoring_ways

# Flower 1.41, flwr.superlink.routers: what a registered node calls, and what submits, follows and stops a run.
# Registration is the manifest's business, so neither side may add or remove nodes, federations or accounts.
FLEET = (
    "activate-node|deactivate-node|send-node-heartbeat|pull-messages|push-messages|get-run|get-fab|push-object"
    "|pull-object|confirm-message-received"
)
CONTROL = (
    "start-run|list-runs|list-run-series|get-run-series|list-run-series-events|stop-run|stream-logs"
    "|stream-run-events|pull-artifacts|list-nodes|list-federations|show-federation"
)
STUDY_FILE = r"/v1/studies(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*){1,8}"  # no segment starts with a dot
PUBLIC_KEY_HEADER = "flwr-public-key"  # flwr.supercore.constant.FLEET_HTTP_PUBLIC_KEY_HEADER
TASK_HEADERS = ["flwr-task-token", "flwr-superexec-*"]
SUPERLINK_IDLE_SECONDS = 3  # uvicorn closes a connection after 5 idle seconds; we must be first
ROLE, FLOWER_KEY = "{link.role}", "{link.flower_key}"


@dataclass(frozen=True)
class Passes:
    """Who may pass: certificates by their SHA-256, an institution's with the header of its Flower key."""

    institutions: Mapping[str, str]
    operators: frozenset[str]
    authority: str

    @classmethod
    def of(cls, manifest: Manifest) -> Passes:
        """The active members and operators of a manifest that its reader has verified."""
        return cls(
            {member.certificate: flower_key_header(member.flower_key) for member in manifest.active_members},
            frozenset(one.certificate for one in manifest.active_operators),
            manifest.authority,
        )


@dataclass(frozen=True)
class Place:
    """Where the gateway stands: its address and certificate, the SuperLink behind it, and the files that it shows."""

    listen: str  # "host:port"
    server_name: str
    certificate: Path
    key: Path
    superlink: str  # "127.0.0.1:port", TLS with a certificate of the same authority
    manifest: Path
    studies: Path
    metrics_port: int
    require_pq: bool = True
    max_body_bytes: int = MAX_BODY_BYTES
    scoring: str = ""  # "127.0.0.1:port" of a scoring service, where there is one


def flower_key_header(flower_key: str) -> str:
    """What Flower's node sends as its public key: base64 of the PEM. Raises ConfigError if the key is no EC key.

    The same as flwr.supercore.primitives.asymmetric.public_key_to_bytes gives; a test compares them.
    """
    try:
        key = load_ssh_public_key(flower_key.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePublicKey):
        raise ConfigError("flower_key", found="another format", expected="an OpenSSH line of an ECDSA key")
    return base64.b64encode(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).decode("ascii")


def gateway_config(passes: Passes, place: Place) -> Part:
    """Caddy's configuration of the gateway for these passes.

    Raises:
        ConfigError: the manifest's authority is no certificate.
    """
    too_long, limit = limited(place.max_body_bytes)
    tls: Part = {
        "protocol_min": "tls1.3",
        "curves": curves(require_pq=place.require_pq),
        "alpn": ["h2", "http/1.1"],
        "client_authentication": {"ca": trusted(passes.authority), "mode": "require_and_verify"},
        # One certificate, whatever name a caller dials by.
        "default_sni": place.server_name,
        "fallback_sni": place.server_name,
    }
    fleet = _superlink(place, passes.authority, headers={PUBLIC_KEY_HEADER: [FLOWER_KEY]})
    control = _superlink(place, passes.authority, headers={})
    routes: list[Part] = [
        {"handle": [_lookup(passes)]},
        {"match": [{"vars": {ROLE: [""]}}], "handle": [{"handler": "static_response", "status_code": 403}]},
        too_long,
        _way("institution", f"/v1/fleet/(?:{FLEET})", limit, fleet, header=True),
        _way("operator", f"/v1/control/(?:{CONTROL})", limit, control),
        _file("institution|operator", "/v1/manifest", root=place.manifest.parent, rewrite=_named(place.manifest)),
        *scoring_ways(place.scoring),
        _file("operator", STUDY_FILE, root=place.studies, rewrite={"strip_path_prefix": "/v1/studies"}),
    ]
    metrics: Part = {"match": [is_uri("/metrics")], "handle": [{"handler": "metrics"}], "terminal": True}
    servers = {
        "gateway": {**server(place.listen, routes, tls=tls, protocols=("h1", "h2")), "read_timeout": "5m"},
        "metrics": server(f"127.0.0.1:{place.metrics_port}", [metrics]),
    }
    pair = {"certificate": str(place.certificate.absolute()), "key": str(place.key.absolute())}
    return apps(servers, certificates=[pair])


def _lookup(passes: Passes) -> Part:
    """For each request: the certificate's role and its Flower key; nothing for one that is not named."""
    named = {**dict.fromkeys(sorted(passes.operators), ("operator", ""))}
    named |= {one: ("institution", key) for one, key in sorted(passes.institutions.items())}
    return {
        "handler": "map",
        "source": "{http.request.tls.client.fingerprint}",
        "destinations": [ROLE, FLOWER_KEY],
        "mappings": [{"input": one, "outputs": list(outputs)} for one, outputs in named.items()],
        "defaults": ["", ""],
    }


def _way(role: str, uri: str, limit: Part, proxy: Part, *, header: bool = False) -> Part:
    match: Part = {"method": ["POST"], "vars": {ROLE: [role]}, **is_uri(uri)}
    if header:
        match["header"] = {PUBLIC_KEY_HEADER: [FLOWER_KEY]}
    return {"match": [match], "handle": [limit, proxy], "terminal": True}


def _file(roles: str, uri: str, *, root: Path, rewrite: Part) -> Part:
    match: Part = {"method": ["GET"], "vars": {ROLE: roles.split("|")}, **is_uri(uri)}
    files = {"handler": "file_server", "root": str(root.absolute()), "canonical_uris": False, "index_names": []}
    return {"match": [match], "handle": [{"handler": "rewrite", **rewrite}, files], "terminal": True}


def _named(path: Path) -> Part:
    return {"uri": f"/{path.name}"}


def _superlink(place: Place, authority: str, *, headers: Part) -> Part:
    tls: Part = {"ca": trusted(authority), "server_name": place.superlink.rpartition(":")[0].strip("[]")}
    proxy = forward(
        place.superlink, tls=tls, versions=("1.1",), idle_seconds=SUPERLINK_IDLE_SECONDS, set_headers=headers
    )
    proxy["headers"]["request"]["delete"] += TASK_HEADERS
    proxy["transport"]["network_proxy"] = {"from": "none"}
    return proxy
