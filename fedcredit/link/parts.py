"""What both ends of the link have in common becomes parts of a Caddy configuration."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from fedcredit.trust.certificates import certificates_in

Part = dict[str, Any]
MAX_AUTHORITIES = 2  # the present one, and the next one while certificates are renewed
MAX_HEADER_BYTES = 16 * 1024  # Flower's headers have under 1 KB
MAX_BODY_BYTES = 16 * 1024 * 1024  # Flower sends arrays in pieces of 5 MiB, a bundle has at most 10 MB


def curves(*, require_pq: bool) -> list[str]:
    """The key exchanges of the link, in Caddy's names, the preferred one first."""
    return ["x25519mlkem768"] if require_pq else ["x25519mlkem768", "x25519"]


def trusted(authority: str) -> Part:
    """These authorities' certificates (PEM) and no others, neither the system's. Raises ConfigError."""
    found = certificates_in(authority, where="authority", most=MAX_AUTHORITIES)
    ders = [base64.b64encode(one.public_bytes(Encoding.DER)).decode("ascii") for one in found]
    return {"provider": "inline", "trusted_ca_certs": ders}


def only(status: int) -> Part:
    """A route that answers a status and nothing else."""
    return {"handle": [{"handler": "static_response", "status_code": status}], "terminal": True}


def is_uri(pattern: str) -> Part:
    """Matches the address exactly as it was sent: no unescaping, no cleaning, so no second way to write a path."""
    return {"vars_regexp": {"{http.request.orig_uri}": {"pattern": f"^(?:{pattern})$"}}}


def limited(size: int) -> tuple[Part, Part]:
    """A route that answers 413 to who announces a longer body, and a handler that ends who sends one all the same."""
    length = "{http.request.header.Content-Length}"
    too_long = {"expression": f'{length} != "" && int({length}) > {size}'}
    refuse = only(413)
    refuse["handle"][0]["close"] = True  # else Caddy would first wait for the body
    return {"match": [too_long], **refuse}, {"handler": "request_body", "max_size": size}


def forward(address: str, *, tls: Part, versions: Sequence[str], idle_seconds: int, set_headers: Part) -> Part:
    """Passes a request on over TLS; connections stay open, answers stream through."""
    return {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": address}],
        "flush_interval": -1,
        "headers": {
            # Who may say where a request came from is this hop; the rest is nobody's business behind it.
            "request": {"set": set_headers, "delete": ["X-*", "Forwarded", "Via", "Cookie", "Authorization", "Trace*"]},
            "response": {"delete": ["Server", "Via"]},
        },
        "transport": {
            "protocol": "http",
            "tls": {"handshake_timeout": "5s", **tls},
            "versions": list(versions),
            "compression": False,
            "dial_timeout": "3s",
            "keep_alive": {"idle_timeout": f"{idle_seconds}s", "probe_interval": "10s"},
        },
    }


def server(listen: str, routes: Sequence[Part], *, tls: Part | None = None, protocols: Sequence[str] = ("h1",)) -> Part:
    """One listener; what no route takes is answered 403. Caddy's automatic certificates and redirects are off."""
    return {
        "listen": [listen],
        "protocols": list(protocols),
        "automatic_https": {"disable": True},
        "strict_sni_host": False,
        "max_header_bytes": MAX_HEADER_BYTES,
        "read_header_timeout": "10s",
        "idle_timeout": "5m",
        **({"tls_connection_policies": [tls]} if tls else {}),
        "routes": [*routes, only(403)],
    }


def apps(servers: Mapping[str, Part], *, certificates: Sequence[Mapping[str, str]] = ()) -> Part:
    """The whole configuration of these servers, with the certificates (files) that they show."""
    http: Part = {"servers": dict(servers), "grace_period": "10s", "metrics": {}}
    tls: Part = {
        "certificates": {"load_files": list(certificates)},
        "disable_ocsp_stapling": True,
        "session_tickets": {"disabled": True},  # each new connection shows its certificate again
    }
    return {"apps": {"http": http, **({"tls": tls} if certificates else {})}}
