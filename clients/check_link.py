"""The way to the gateway becomes check lines: the key exchange, whether it lets us in, how far apart the clocks are."""

from __future__ import annotations

import http.client
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

from clients.checks_signed import manifest_here
from clients.checkup import Line, Subject, need_facts
from fedcredit.errors import PolicyRefused
from fedcredit.link import caddy
from fedcredit.link.handshake import X25519, X25519MLKEM768, LinkRefused, probe
from fedcredit.link.running import free_port
from fedcredit.link.tunnel import LOOPBACK, Ends, tunnel_config
from fedcredit.trust.manifest import open_manifest
from fedcredit.trust.words import host_of

LARGEST_SKEW = timedelta(seconds=60)  # Flower refuses a node at 300 s
ANSWER_SECONDS = 10.0
MAX_ANSWER_BYTES = 16 * 1024 * 1024
FIREWALL = "let this machine reach the gateway's port, unopened: a proxy that decrypts TLS ends the link"
REVOKED = "ask the platform whether this certificate is still in the manifest; join again with its newest answer"


@dataclass(frozen=True)
class Answer:
    """What the gateway said to a request for the manifest, and its clock's distance from ours."""

    status: int
    body: bytes
    skew: timedelta | None


def check_link(subject: Subject) -> Iterator[Line]:
    """The gateway speaks TLS 1.3 with X25519MLKEM768; with another group only if the operator allows it."""
    facts, manifest = need_facts(subject), manifest_here(subject)
    if facts.proxy is not None:
        yield Line("link", True, f"through {facts.proxy}, the tunnel decides: it offers {_offered(facts.require_pq)}")
        return
    host, port = host_of(manifest.gateway), int(manifest.gateway.rpartition(":")[2])
    name = facts.server_name or host
    try:
        found = probe(host, port, server_name=name, group=X25519MLKEM768)
    except LinkRefused as refused:
        if facts.require_pq:
            yield Line("link", False, f"{manifest.gateway}: {refused.found}", FIREWALL)
            return
        found = probe(host, port, server_name=name, group=X25519)
    yield Line("link", True, f"{manifest.gateway}, TLS 1.3 with {found.name}")


def check_gateway(subject: Subject) -> Iterator[Line]:
    """The gateway knows our certificate and hands out the manifest; the clocks agree."""
    answer = ask_manifest(subject)
    if answer.skew is None:
        yield Line("clock", False, "the gateway's clock is unknown without an answer", "mend the line of the gateway")
    else:
        seconds = answer.skew.total_seconds()
        yield Line(
            "clock",
            abs(answer.skew) <= LARGEST_SKEW,
            f"{seconds:+.0f} s from the gateway's",
            "timedatectl set-ntp true",
        )
    if answer.status == 200:
        kept, offered = manifest_here(subject), open_manifest(answer.body, now=subject.now)
        news = "" if offered.version <= kept.version else f"; version {offered.version} is taken at the next start"
        yield Line("gateway", True, f"lets this certificate in, manifest version {kept.version}{news}")
    elif answer.status in (401, 403):
        yield Line("gateway", False, "it does not let this certificate in", REVOKED)
    else:
        yield Line(
            "gateway", False, f"no answer through the tunnel (status {answer.status})", f"{FIREWALL}; or: {REVOKED}"
        )


def ask_manifest(subject: Subject) -> Answer:
    """The gateway's answer through a tunnel of our own, which ends with it.

    Raises:
        LinkDown: there is no Caddy, or it takes no such configuration.
        PolicyRefused: the answer is larger than a manifest may be.
    """
    facts, home, manifest = need_facts(subject), subject.home, manifest_here(subject)
    ends = Ends(
        gateway=manifest.gateway,
        server_name=facts.server_name or host_of(manifest.gateway),
        authority=manifest.authority,
        certificate=home.tls_certificate,
        key=home.tls_key,
        require_pq=facts.require_pq,
        proxy=facts.proxy,
    )
    with tempfile.TemporaryDirectory() as made:
        port = free_port()
        tunnel = caddy.start(tunnel_config(ends, port=port, role="institution"), folder=Path(made) / "tunnel")
        try:
            return _ask(port)
        finally:
            tunnel.stop(wait=2.0)


def _ask(port: int) -> Answer:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWER_SECONDS)
    try:
        before = datetime.now(UTC)
        connection.request("GET", "/v1/manifest")
        response = connection.getresponse()
        after = datetime.now(UTC)
        body = response.read(MAX_ANSWER_BYTES + 1)
    except (OSError, http.client.HTTPException):
        return Answer(0, b"", None)
    finally:
        connection.close()
    if len(body) > MAX_ANSWER_BYTES:
        raise PolicyRefused("gateway", found="a larger answer", expected=f"at most {MAX_ANSWER_BYTES} bytes")
    # A 502 is the tunnel's own, with this machine's clock.
    said = None if response.status >= 500 else response.getheader("Date")
    return Answer(response.status, body, _skew(said, before + (after - before) / 2))


def _skew(said: str | None, now: datetime) -> timedelta | None:
    """How far this machine is ahead of a Date header, whose clock ticks in whole seconds.

    >>> _skew("Sun, 24 Jan 2027 08:00:00 GMT", datetime(2027, 1, 24, 8, 10, 0, 500_000, UTC))
    datetime.timedelta(seconds=600)
    """
    try:
        there = parsedate_to_datetime(said or "")
    except ValueError:
        return None
    return now - there - timedelta(seconds=0.5)


def _offered(is_pq_required: bool) -> str:
    return "X25519MLKEM768 and nothing else" if is_pq_required else "X25519MLKEM768 first, X25519 too"
