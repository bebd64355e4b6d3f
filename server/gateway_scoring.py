"""The address of a scoring service becomes the gateway's ways to it: /v1/score and what lies below, for members.

Who asks is told twice: by the certificate, which the gateway checks and names to the service in a header that nobody
else can set, and by the token, which the service checks.
"""

from __future__ import annotations

from fedcredit.link.parts import Part, forward, is_uri, limited
from server.scoring.door import CERTIFICATE_HEADER
from server.scoring.messages import MOST_BYTES

IDLE_SECONDS = 15  # below what uvicorn is told, so that no request meets a connection that is being closed
COMPANY = r"(?:[A-Za-z0-9_~-]|%[0-9A-F]{2})(?:[A-Za-z0-9._~-]|%[0-9A-F]{2}){0,191}"
SCORES = r"/v1/score(?:/batch)?"
READS = rf"/v1/score/(?:grades/{COMPANY}(?:\?language=(?:zh|en))?|models|health|openapi\.json)"
METRICS = r"/v1/score/metrics"
ROLE = "{link.role}"


def scoring_ways(address: str) -> list[Part]:
    """Routes to the service at `address` (loopback, "host:port"); none where that is empty."""
    if not address:
        return []
    too_long, limit = limited(MOST_BYTES)
    too_long["match"] = [{**one, **is_uri(SCORES)} for one in too_long["match"]]
    proxy = _proxy(address)
    both = ["institution", "operator"]
    return [
        too_long,
        _way("POST", both, SCORES, [_without("/v1"), limit, proxy]),
        _way("GET", both, READS, [_without("/v1/score"), proxy]),
        _way("GET", ["operator"], METRICS, [_without("/v1/score"), proxy]),
    ]


def _way(method: str, roles: list[str], uri: str, handle: list[Part]) -> Part:
    return {"match": [{"method": [method], "vars": {ROLE: roles}, **is_uri(uri)}], "handle": handle, "terminal": True}


def _without(prefix: str) -> Part:
    return {"handler": "rewrite", "strip_path_prefix": prefix}


def _proxy(address: str) -> Part:
    """Plain HTTP on loopback. The token goes on; whoever sends the certificate's header has it overwritten."""
    shown = {CERTIFICATE_HEADER: ["{http.request.tls.client.fingerprint}"]}
    proxy = forward(address, tls={}, versions=("1.1",), idle_seconds=IDLE_SECONDS, set_headers=shown)
    del proxy["transport"]["tls"]
    proxy["transport"]["network_proxy"] = {"from": "none"}
    request = proxy["headers"]["request"]
    request["delete"] = [one for one in request["delete"] if one != "Authorization"] + ["flwr-*"]
    return proxy
