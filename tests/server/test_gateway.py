"""The gateway: who may pass, by which words exactly, and that a revoked one is out at the next request."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fedcredit.errors import ConfigError
from fedcredit.link.authority import Authority
from fedcredit.link.handshake import X25519, LinkRefused, probe
from server.gateway import CONTROL, FLEET, PUBLIC_KEY_HEADER, Passes, flower_key_header, gateway_config
from tests.link.world import HOST, Card, Line, World, card, flower_key, header, tls_client
from tests.trust.consortium import manifest as a_manifest

PULL, START = "/v1/fleet/pull-messages", "/v1/control/start-run"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway that also takes X25519, so that requests can be written by hand over Python's own TLS."""
    made = World.make(tmp_path_factory.mktemp("gateway"), require_pq=False)
    try:
        made.open_gateway()
        yield made
    finally:
        made.close()


@pytest.fixture
def line(world: World) -> Iterator[Callable[[str], Line]]:
    """Opens a connection with the named one's certificate."""
    opened: list[Line] = []

    def connect(name: str) -> Line:
        one = {**world.institutions, **world.operators}[name]
        opened.append(Line(world.port, tls=tls_client(world, one)))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


def key(world: World, name: str) -> dict[str, str]:
    """The header of this one's node."""
    return {PUBLIC_KEY_HEADER: header(world.institutions[name])}


def test_an_institution_reaches_the_fleet_and_its_key_arrives(world: World, line: Callable[[str], Line]) -> None:
    answer = line("harbour").ask("POST", PULL, headers=key(world, "harbour"), body=b"four")
    assert answer.status == 200
    assert json.loads(answer.body)["bytes"] == 4
    assert answer.seen[PUBLIC_KEY_HEADER] == header(world.institutions["harbour"])


def test_an_operator_reaches_control_and_the_files_of_studies(world: World, line: Callable[[str], Line]) -> None:
    operator = line("ops")
    assert operator.ask("POST", START).status == 200
    assert operator.ask("GET", "/v1/studies/cohort/status.json").body == b'{"round": 3}'


@pytest.mark.parametrize("name", ["harbour", "ops"])
def test_both_get_the_manifest_byte_for_byte(world: World, line: Callable[[str], Line], name: str) -> None:
    assert line(name).ask("GET", "/v1/manifest").body == world.place.manifest.read_bytes()


@pytest.mark.parametrize(
    ("name", "method", "target"),
    [
        ("ops", "POST", PULL),
        ("harbour", "POST", START),
        ("harbour", "GET", "/v1/studies/cohort/status.json"),
        ("harbour", "GET", PULL),
        ("harbour", "PUT", PULL),
        ("ops", "GET", START),
        ("ops", "POST", "/v1/manifest"),
        ("ops", "HEAD", "/v1/manifest"),
        # Membership is the manifest's business, not that of who holds a certificate.
        ("harbour", "POST", "/v1/fleet/register-node"),
        ("harbour", "POST", "/v1/fleet/unregister-node"),
        ("ops", "POST", "/v1/control/register-node"),
        ("ops", "POST", "/v1/control/add-node-to-federation"),
    ],
)
def test_what_is_another_one_s_right_is_refused(
    world: World, line: Callable[[str], Line], name: str, method: str, target: str
) -> None:
    reached = len(world.superlink.seen)
    assert line(name).ask(method, target, headers=key(world, "harbour")).status == 403
    assert len(world.superlink.seen) == reached


@pytest.mark.parametrize("name", ["harbour", "ops"])
@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/health",
        "/docs",
        "/openapi.json",
        "/redoc",
        "/metrics",
        "/v1/runtime/acquire-task",
        "/v1/fleet/../runtime/acquire-task",
        "/v1/fleet/%2e%2e/runtime/acquire-task",
        "/v1/fleet/..%2fruntime/acquire-task",
        "/v1/fleet/%2E%2E%2Fruntime%2Facquire-task",
        "/v1/fleet/./pull-messages",
        "/v1/fleet//pull-messages",
        "//v1/fleet/pull-messages",
        "/v1//fleet/pull-messages",
        "/v1/fleet/pull-messages/",
        "/v1/fleet/pull-messages?",
        "/v1/fleet/pull-messages?a=b",
        "/v1/fleet/pull-messages;a=b",
        "/v1/fleet/pull%2dmessages",
        "/v1%2ffleet/pull-messages",
        "/V1/fleet/pull-messages",
        "/v1/FLEET/pull-messages",
        "/v1/fleet/Pull-Messages",
        "/v1/fleet\\pull-messages",
        "/v1/fleet/pull-messages%00",
        "/v1/fleet/pull-messages%0a",
        "/v1/fleet",
        "/v1/fleet/",
        "/v1/control/../runtime/acquire-task",
        "/v1/control/%73tart-run",
        "/v1/manifest/../../authority/ca.key",
        "/v1/manifest?x",
        "/v1/studies/../authority/ca.key",
        "/v1/studies/%2e%2e/authority/ca.key",
        "/v1/studies/..%2fauthority/ca.key",
        "/v1/studies/cohort/.secret",
        "/v1/studies/cohort/%2esecret",
        "/v1/studies//cohort/status.json",
        "/v1/studies/",
        "http://gateway.test/v1/runtime/acquire-task",
        "*",
    ],
)
def test_every_other_path_and_spelling_is_refused(
    world: World, line: Callable[[str], Line], name: str, target: str
) -> None:
    reached = len(world.superlink.seen)
    for method in ("POST", "GET"):
        answer = line(name).ask(method, target, headers=key(world, "harbour"))
        assert answer.status in (400, 403), (method, target)
        assert b"PRIVATE KEY" not in answer.body
    assert len(world.superlink.seen) == reached


def test_a_folder_of_studies_is_not_listed(line: Callable[[str], Line]) -> None:
    assert line("ops").ask("GET", "/v1/studies/cohort").status == 404


def test_another_member_s_flower_key_is_refused(world: World, line: Callable[[str], Line]) -> None:
    reached = len(world.superlink.seen)
    for headers in (key(world, "meadow"), {}, {PUBLIC_KEY_HEADER: ""}, {PUBLIC_KEY_HEADER: "*"}):
        assert line("harbour").ask("POST", PULL, headers=headers).status == 403
    assert len(world.superlink.seen) == reached


def test_a_second_key_header_does_not_arrive(world: World, line: Callable[[str], Line]) -> None:
    own, other = header(world.institutions["harbour"]), header(world.institutions["meadow"])
    for pairs in ([other, own], [own, other]):
        answer = line("harbour").ask("POST", PULL, headers=[(PUBLIC_KEY_HEADER, one) for one in pairs])
        arrived = [v for n, v in json.loads(answer.body)["headers"] if n.lower() == PUBLIC_KEY_HEADER]
        assert arrived == [own]


def test_headers_that_claim_an_origin_or_a_right_do_not_arrive(world: World, line: Callable[[str], Line]) -> None:
    forged = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-real-ip",
        "x-ssl-client-verify",
        "forwarded",
        "via",
        "authorization",
        "cookie",
        "flwr-task-token",
        "flwr-superexec-signature",
        "traceparent",
    ]
    kept = {"content-type": "application/x-protobuf", "flwr-signature": "c2ln", "flwr-timestamp": "2026-01-01"}
    headers = {**dict.fromkeys(forged, "203.0.113.7"), **kept, **key(world, "harbour")}
    seen = line("harbour").ask("POST", PULL, headers=headers).seen
    assert not set(forged) & set(seen)
    assert "203.0.113.7" not in seen.values()
    assert {name: seen[name] for name in kept} == kept


def test_a_connection_header_cannot_take_the_key_away(world: World, line: Callable[[str], Line]) -> None:
    headers = {**key(world, "harbour"), "Connection": f"keep-alive, {PUBLIC_KEY_HEADER}"}
    assert line("harbour").ask("POST", PULL, headers=headers).seen[PUBLIC_KEY_HEADER] == header(
        world.institutions["harbour"]
    )


def test_an_announced_oversize_body_is_refused_before_it_is_sent(world: World, line: Callable[[str], Line]) -> None:
    reached = len(world.superlink.seen)
    headers = {**key(world, "harbour"), "Content-Length": str(2**40)}
    assert line("harbour").ask("POST", PULL, headers=headers).status == 413
    assert len(world.superlink.seen) == reached


def test_a_body_that_grows_too_large_on_the_way_is_cut(world: World, line: Callable[[str], Line]) -> None:
    reached = len(world.superlink.seen)
    connection = line("harbour")
    piece = b"%x\r\n" % 65536 + b"x" * 65536 + b"\r\n"
    head = f"POST {PULL} HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n"
    head += f"{PUBLIC_KEY_HEADER}: {header(world.institutions['harbour'])}\r\n\r\n"
    connection.socket.sendall(head.encode())
    with contextlib.suppress(OSError):  # half a second after its answer it hangs up, also on who still sends
        for _ in range(world.place.max_body_bytes // 65536 + 6):  # Caddy reads 256 KiB more to keep the connection
            connection.socket.sendall(piece)
    assert connection.read().status == 413
    assert len(world.superlink.seen) == reached


def test_a_body_of_exactly_the_limit_passes(world: World, line: Callable[[str], Line]) -> None:
    answer = line("harbour").ask("POST", PULL, headers=key(world, "harbour"), body=bytes(world.place.max_body_bytes))
    assert json.loads(answer.body)["bytes"] == world.place.max_body_bytes


def outsiders(world: World) -> dict[str, Card | None]:
    """Those whom TLS itself turns away."""
    other = Authority.create(world.folder / "other-authority", name="pearl-river")
    past = datetime.now(UTC) - timedelta(days=40)
    return {
        "none": None,
        "expired": world.card("harbour", now=past, days=30),
        "of another authority with the same name": card(other, world.folder, "harbour"),
        "a server's": world.card("harbour", role="server"),
    }


def test_missing_expired_and_foreign_certificates_are_refused_in_the_handshake(world: World) -> None:
    reached = len(world.superlink.seen)
    for what, one in outsiders(world).items():
        # TLS 1.3 tells a client of its refusal only at the first read.
        with pytest.raises((ssl.SSLError, ConnectionError)), Line(world.port, tls=tls_client(world, one)) as tried:
            pytest.fail(f"{what}: {tried.ask('POST', PULL, headers=key(world, 'harbour'))}")
    assert len(world.superlink.seen) == reached


def test_a_valid_certificate_that_the_manifest_does_not_name_is_refused(
    world: World, line: Callable[[str], Line]
) -> None:
    left = line("left")
    assert left.ask("POST", PULL, headers=key(world, "left")).status == 403
    assert left.ask("GET", "/v1/manifest").status == 403
    # The name in the certificate gives no right: this one is called as a member is.
    with Line(world.port, tls=tls_client(world, world.card("harbour"))) as namesake:
        assert namesake.ask("POST", PULL, headers=key(world, "harbour")).status == 403


def test_tls_1_2_is_refused(world: World) -> None:
    old = tls_client(world, world.institutions["harbour"], version=ssl.TLSVersion.TLSv1_2)
    with pytest.raises(ssl.SSLError):
        Line(world.port, tls=old)


def status(kept: Line, headers: dict[str, str]) -> int | None:
    """The answer on a connection that is open already; none where it is told to end."""
    try:
        return kept.ask("POST", PULL, headers=headers).status
    except ConnectionError:
        return None


def test_a_revoked_member_is_out_on_an_open_connection_and_on_new_ones(world: World) -> None:
    harbour = world.institutions["harbour"]
    assert world.gateway
    with Line(world.port, tls=tls_client(world, harbour)) as kept:
        assert kept.ask("POST", PULL, headers=key(world, "harbour")).status == 200
        world.gateway.reload(gateway_config(world.without("harbour"), world.place))
        try:
            assert status(kept, key(world, "harbour")) in (None, 403)
            with Line(world.port, tls=tls_client(world, harbour)) as new:
                assert new.ask("POST", PULL, headers=key(world, "harbour")).status == 403
            with Line(world.port, tls=tls_client(world, world.institutions["meadow"])) as other:
                assert other.ask("POST", PULL, headers=key(world, "meadow")).status == 200
        finally:
            world.gateway.reload(gateway_config(world.passes(), world.place))
    with Line(world.port, tls=tls_client(world, harbour)) as back:
        assert back.ask("POST", PULL, headers=key(world, "harbour")).status == 200


def test_a_killed_gateway_starts_again_on_its_port(world: World) -> None:
    assert world.gateway
    before = world.gateway
    os.kill(before.pid, signal.SIGKILL)
    before.process.wait()
    started = time.monotonic()
    world.open_gateway()
    assert time.monotonic() - started < 10
    with Line(world.port, tls=tls_client(world, world.institutions["harbour"])) as again:
        assert again.ask("POST", PULL, headers=key(world, "harbour")).status == 200


def test_a_superlink_that_is_away_is_a_bad_gateway_and_no_name_is_logged(world: World) -> None:
    assert world.gateway
    away = replace(world.place, superlink=f"{HOST}:1")
    world.gateway.reload(gateway_config(world.passes(), away))
    try:
        with Line(world.port, tls=tls_client(world, world.institutions["harbour"])) as tried:
            assert tried.ask("POST", PULL, headers={**key(world, "harbour"), "flwr-signature": "c2ln"}).status == 502
    finally:
        world.gateway.reload(gateway_config(world.passes(), world.place))
    log = (world.gateway.folder / "caddy.log").read_text()
    assert "connection refused" in log
    for secret in ("harbour", "c2ln", header(world.institutions["harbour"])):
        assert secret not in log


def test_metrics_are_on_the_loopback_and_name_nobody(world: World, line: Callable[[str], Line]) -> None:
    line("harbour").ask("POST", PULL, headers=key(world, "harbour"))
    until = time.monotonic() + 10.0
    with Line(world.place.metrics_port) as watch:
        page = ""
        # Caddy counts a request once it is over, a moment after its answer has arrived here.
        while "caddy_http_requests_total" not in page and time.monotonic() < until:
            page = watch.ask("GET", "/metrics").body.decode()
        assert watch.ask("GET", "/config/").status == 403
    assert "caddy_http_requests_total" in page
    assert not [name for name in ("harbour", "meadow", "ops") if name in page]


def test_a_caller_without_the_group_is_refused_only_where_it_is_required(world: World) -> None:
    assert probe(HOST, world.port, group=X25519).name == "X25519"
    assert world.gateway
    world.gateway.reload(gateway_config(world.passes(), replace(world.place, require_pq=True)))
    try:
        with pytest.raises(LinkRefused):
            probe(HOST, world.port, group=X25519)
        with pytest.raises(ssl.SSLError):
            Line(world.port, tls=tls_client(world, world.institutions["harbour"]))
        assert probe(HOST, world.port, server_name="gateway.test").name == "X25519MLKEM768"
    finally:
        world.gateway.reload(gateway_config(world.passes(), world.place))


def test_passes_are_a_manifest_s_active_members_and_operators() -> None:
    manifest = a_manifest()
    passes = Passes.of(manifest)
    assert set(passes.institutions) == {one.certificate for one in manifest.active_members}
    revoked = replace(manifest.members[0], status="revoked")
    later = replace(manifest, members=(revoked, *manifest.members[1:]))
    assert set(passes.institutions) - set(Passes.of(later).institutions) == {revoked.certificate}


def test_the_key_header_is_the_one_that_flower_sends() -> None:
    from base64 import b64encode

    from cryptography.hazmat.primitives.serialization import load_ssh_public_key
    from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes

    said = flower_key()
    assert flower_key_header(said) == b64encode(public_key_to_bytes(load_ssh_public_key(said.encode()))).decode()
    assert PUBLIC_KEY_HEADER == FLEET_HTTP_PUBLIC_KEY_HEADER
    with pytest.raises(ConfigError):
        flower_key_header("ssh-ed25519 AAAA")


def test_every_way_through_the_gateway_exists_in_flower() -> None:
    from flwr.superlink.routers.control.router import router as control
    from flwr.superlink.routers.fleet.router import router as fleet

    for router, prefix, words in ((fleet, "/v1/fleet/", FLEET), (control, "/v1/control/", CONTROL)):
        known = {getattr(route, "path", "") for route in router.routes}
        assert {prefix + word for word in words.split("|")} <= known


def test_gateway_of_no_authority_is_refused(world: World) -> None:
    for authority in ("", "junk", world.authority.pem * 3):
        with pytest.raises(ConfigError):
            gateway_config(replace(world.passes(), authority=authority), world.place)


def test_folder_of_the_gateway_is_its_owner_s(world: World) -> None:
    assert world.gateway
    files: list[Path] = [world.gateway.folder, world.gateway.folder / "admin.sock", world.gateway.folder / "caddy.json"]
    assert [file.stat().st_mode & 0o077 for file in files] == [0, 0, 0]
