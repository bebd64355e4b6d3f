"""The tunnel: what the real processes agree on, who may speak into it, and that a reload or a cut loses nothing."""

from __future__ import annotations

import os
import signal
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fedcredit.errors import ConfigError
from fedcredit.link import caddy
from fedcredit.link.admin import ask as administer
from fedcredit.link.authority import Authority
from fedcredit.link.handshake import X25519, X25519MLKEM768
from fedcredit.link.relay import Relay
from fedcredit.link.tunnel import LocalTls, Patience, local_certificate, tunnel_config
from server.gateway import PUBLIC_KEY_HEADER, gateway_config
from tests.link.world import HOST, Answer, Line, World, card, header
from tests.ports import free_port

PULL, START = "/v1/fleet/pull-messages", "/v1/control/start-run"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway that takes X25519MLKEM768 and nothing else."""
    made = World.make(tmp_path_factory.mktemp("tunnel"))
    try:
        made.open_gateway()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def port(world: World) -> int:
    """A running tunnel of `harbour`."""
    return world.tunnel(world.ends(world.institutions["harbour"]), patience=Patience(15.0))


def pull(world: World, line: Line, port: int, **more: str) -> Answer:
    """What harbour's node asks for all day."""
    headers = {PUBLIC_KEY_HEADER: header(world.institutions["harbour"]), **more}
    return line.ask("POST", PULL, headers=headers, host=f"{HOST}:{port}", body=b"four")


def settle(world: World, port: int) -> None:
    """Let the tunnel see the end of the answer that we have read already; else a cut ends our connection as well."""
    folder, give_up, under_way = world.folder / "run" / f"tunnel-{port}", time.monotonic() + 20, [""]
    while not under_way or any(not line.endswith(" 0") for line in under_way):
        assert time.monotonic() < give_up, under_way
        time.sleep(0.02)
        told = administer(folder, "GET", "/metrics", wait=20)[1]
        under_way = [line for line in told.splitlines() if line.startswith("caddy_http_requests_in_flight{")]


def test_the_real_link_is_post_quantum_and_authenticates_both_sides(world: World) -> None:
    with Relay((HOST, world.port)) as relay:
        ends = world.ends(world.institutions["harbour"], gateway=f"{HOST}:{relay.address[1]}")
        port = world.tunnel(ends)
        with Line(port) as line:
            assert pull(world, line, port).status == 200
        seen = relay.handshakes[0]
        assert seen.negotiated().group == X25519MLKEM768
        seen.negotiated().require()
        assert seen.offered().groups == (X25519MLKEM768,)
        assert seen.offered().server_name == "gateway.test"
        assert b"harbour" not in bytes(seen.sent)  # TLS 1.3 sends the certificate encrypted


def test_a_tunnel_that_need_not_be_post_quantum_still_prefers_it(world: World) -> None:
    with Relay((HOST, world.port)) as relay:
        ends = world.ends(world.institutions["harbour"], gateway=f"{HOST}:{relay.address[1]}", require_pq=False)
        port = world.tunnel(ends)
        with Line(port) as line:
            assert pull(world, line, port).status == 200
        assert relay.handshakes[0].negotiated().group == X25519MLKEM768
        assert set(relay.handshakes[0].offered().groups) == {X25519MLKEM768, X25519}


def test_a_gateway_without_the_group_is_not_reached_when_it_is_required(world: World, tmp_path: Path) -> None:
    from fedcredit.link.parts import server

    pair = {"certificate": str(world.place.certificate), "key": str(world.place.key)}
    old = {"protocol_min": "tls1.3", "curves": ["x25519"], "default_sni": "gateway.test"}
    gateway = free_port()
    config = {
        "apps": {
            "http": {"servers": {"old": server(f"{HOST}:{gateway}", [], tls=old)}},
            "tls": {"certificates": {"load_files": [pair]}},
        }
    }
    running = caddy.start(config, folder=tmp_path / "old")
    world.running.append(running)
    harbour = world.institutions["harbour"]
    for require_pq, status in ((True, 502), (False, 403)):  # 403 is the old gateway's own answer
        port = world.tunnel(world.ends(harbour, gateway=f"{HOST}:{gateway}", require_pq=require_pq))
        with Line(port) as line:
            assert pull(world, line, port).status == status


def test_a_gateway_of_another_authority_or_name_is_not_spoken_to(world: World) -> None:
    other = Authority.create(world.folder / "impostor", name="pearl-river")
    impostor = card(other, world.folder, "gateway", role="server")
    place = replace(
        world.place,
        listen=f"{HOST}:{free_port()}",
        metrics_port=free_port(),
        certificate=impostor.certificate,
        key=impostor.key,
    )
    world.running.append(caddy.start(gateway_config(world.passes(), place), folder=world.folder / "run" / "impostor"))
    harbour, reached = world.institutions["harbour"], len(world.superlink.seen)
    wrong_name = replace(world.ends(harbour), server_name="another.test")
    for ends in (world.ends(harbour, gateway=place.listen), wrong_name):
        port = world.tunnel(ends)
        with Line(port) as line:
            assert pull(world, line, port).status == 502
    assert len(world.superlink.seen) == reached


def test_each_role_s_tunnel_passes_on_what_the_role_may_ask_and_no_more(world: World, port: int) -> None:
    operator = world.tunnel(world.ends(world.operators["ops"]), role="operator")
    reached = len(world.superlink.seen)
    with Line(port) as bank, Line(operator) as ops:
        for target in (START, "/v1/runtime/acquire-task", "/v1/fleet/../runtime/x", "/docs", "/v1/studies/cohort/x"):
            assert bank.ask("POST", target, host=f"{HOST}:{port}").status == 403
        for target in (PULL, "/v1/runtime/acquire-task", "/metrics"):
            assert ops.ask("POST", target, host=f"{HOST}:{operator}").status == 403
        assert len(world.superlink.seen) == reached
        assert ops.ask("POST", START, host=f"{HOST}:{operator}").status == 200
        assert ops.ask("GET", "/v1/studies/cohort/status.json", host=f"localhost:{operator}").status == 200
        assert bank.ask("GET", "/v1/manifest", host=f"{HOST}:{port}").body == world.place.manifest.read_bytes()


def test_a_web_page_in_a_browser_of_the_same_machine_is_refused(world: World, port: int) -> None:
    with Line(port) as line:
        assert pull(world, line, port, Origin="https://evil.test").status == 403
        assert pull(world, line, port, Origin="null").status == 403
        # A name of the attacker's that resolves to this machine:
        assert line.ask("POST", PULL, host=f"evil.test:{port}").status == 403
        assert line.ask("POST", PULL, host="gateway.test").status == 403


def test_the_tunnel_listens_on_the_loopback_only(world: World) -> None:
    config = tunnel_config(world.ends(world.institutions["harbour"]), port=8443, role="institution")
    assert [one["listen"] for one in config["apps"]["http"]["servers"].values()] == [["127.0.0.1:8443"]]
    with pytest.raises(ConfigError):
        tunnel_config(replace(world.ends(world.operators["ops"]), authority="junk"), port=1, role="operator")


def test_a_second_listener_speaks_tls_for_flower_s_own_node(world: World, tmp_path: Path) -> None:
    root, local = local_certificate(tmp_path / "local", port=free_port())
    assert not list(tmp_path.rglob("ca.key"))
    port = world.tunnel(world.ends(world.institutions["harbour"]), local=local)
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(root)
    import socket

    with trust.wrap_socket(socket.create_connection((HOST, local.port)), server_hostname=HOST) as shown:
        assert shown.version() == "TLSv1.3"
    import httpx

    with httpx.Client(verify=str(root) and trust, trust_env=False) as client:
        headers = {PUBLIC_KEY_HEADER: header(world.institutions["harbour"])}
        assert client.post(f"https://{HOST}:{local.port}{PULL}", headers=headers, content=b"x").status_code == 200
        assert client.post(f"http://{HOST}:{port}{PULL}", headers=headers, content=b"x").status_code == 200
    assert isinstance(local, LocalTls)


def test_expired_and_revoked_certificates_get_nothing_through_their_tunnel(world: World) -> None:
    from datetime import UTC, datetime, timedelta

    past = datetime.now(UTC) - timedelta(days=40)
    expired = world.card("harbour", days=30, now=past)
    other = card(Authority.create(world.folder / "elsewhere", name="pearl-river"), world.folder, "harbour")
    for one, status in ((expired, 502), (other, 502), (world.institutions["left"], 403)):
        port = world.tunnel(world.ends(one))
        with Line(port) as line:
            assert pull(world, line, port).status == status


def test_a_revoked_member_is_out_at_the_next_request_through_its_open_tunnel(world: World, port: int) -> None:
    assert world.gateway
    with Line(port) as line:
        assert pull(world, line, port).status == 200
        world.gateway.reload(gateway_config(world.without("harbour"), world.place))
        try:
            assert [pull(world, line, port).status for _ in range(3)] == [403] * 3
        finally:
            world.gateway.reload(gateway_config(world.passes(), world.place))
        assert pull(world, line, port).status == 200


def test_reloads_of_the_gateway_lose_no_request(world: World, port: int) -> None:
    statuses: list[int] = []
    is_over = threading.Event()

    def ask() -> None:
        with Line(port) as line:
            while not is_over.is_set():
                statuses.append(pull(world, line, port).status)

    callers = [threading.Thread(target=ask) for _ in range(3)]
    for one in callers:
        one.start()
    assert world.gateway
    for _ in range(10):
        world.gateway.reload(gateway_config(world.passes(), world.place))
        time.sleep(0.02)
    is_over.set()
    for one in callers:
        one.join()
    assert set(statuses) == {200}
    assert len(statuses) > 30


def test_a_request_waits_while_a_killed_gateway_comes_back(world: World, port: int) -> None:
    assert world.gateway
    with Line(port) as line:
        assert pull(world, line, port).status == 200
        settle(world, port)
        os.kill(world.gateway.pid, signal.SIGKILL)
        world.gateway.process.wait()
        back = threading.Timer(0.2, world.open_gateway)
        back.start()
        assert pull(world, line, port).status == 200
        back.join()


def test_a_cut_network_is_a_bad_gateway_in_time_and_heals(world: World) -> None:
    with Relay((HOST, world.port)) as relay:
        port = world.tunnel(world.ends(world.institutions["harbour"], gateway=f"{HOST}:{relay.address[1]}"))
        with Line(port) as line:
            assert pull(world, line, port).status == 200
            settle(world, port)
            relay.cut()
            started = time.monotonic()
            assert pull(world, line, port).status == 502
            assert 0.9 < time.monotonic() - started < 15
            relay.mend()
            assert pull(world, line, port).status == 200


def test_a_network_that_swallows_everything_is_noticed_and_left(world: World) -> None:
    with Relay((HOST, world.port)) as relay:
        ends = world.ends(world.institutions["harbour"], gateway=f"{HOST}:{relay.address[1]}")
        port = world.tunnel(ends, patience=Patience(retry_seconds=12.0, silence_seconds=0.5))
        with Line(port) as line:
            assert pull(world, line, port).status == 200
            settle(world, port)
            relay.swallow()
            assert pull(world, line, port).status == 200  # on a new connection
        assert len(relay.handshakes) >= 2  # a pause of the machine is a silence too


def test_an_operator_s_request_that_was_sent_is_not_sent_again(world: World) -> None:
    """The connection ends after the request arrived: a study must not be started twice."""
    with Relay((HOST, world.port)) as relay:
        ends = world.ends(world.operators["ops"], gateway=f"{HOST}:{relay.address[1]}")
        port = world.tunnel(ends, role="operator")
        with Line(port) as line:
            world.superlink.on_request = relay.cut
            before = len(world.superlink.seen)
            try:
                assert line.ask("POST", START, host=f"{HOST}:{port}").status == 502
            finally:
                world.superlink.on_request = None
            relay.mend()
            time.sleep(0.3)
            assert len(world.superlink.seen) == before + 1
            assert line.ask("POST", START, host=f"{HOST}:{port}").status == 200


def test_many_requests_share_one_handshake(world: World) -> None:
    with Relay((HOST, world.port)) as relay:
        port = world.tunnel(world.ends(world.institutions["harbour"], gateway=f"{HOST}:{relay.address[1]}"))
        with Line(port) as line:
            for _ in range(50):
                assert pull(world, line, port).status == 200
        with Line(port) as line:
            assert pull(world, line, port).status == 200
        assert len(relay.handshakes) == 1


@pytest.mark.parametrize(
    "target",
    ["/v1/runtime/acquire-task", "/v1/fleet/../runtime/acquire-task", "/v1/fleet/%2e%2e/runtime/x", "//v1/fleet"],
)
def test_an_attacker_s_own_tunnel_that_filters_nothing_reaches_no_more_over_http_2(world: World, target: str) -> None:
    config = tunnel_config(world.ends(world.institutions["harbour"]), port=free_port(), role="institution")
    servers = config["apps"]["http"]["servers"]
    servers["tunnel"]["routes"] = [{"handle": servers["tunnel"]["routes"][1]["handle"]}]
    port = free_port()
    servers["tunnel"]["listen"] = [f"{HOST}:{port}"]
    world.running.append(caddy.start(config, folder=world.folder / "run" / f"attacker-{port}"))
    reached = len(world.superlink.seen)
    with Line(port) as line:
        headers = {PUBLIC_KEY_HEADER: header(world.institutions["harbour"])}
        assert line.ask("POST", PULL, headers=headers).status == 200
        assert line.ask("POST", target, headers=headers).status == 403
        other = {PUBLIC_KEY_HEADER: header(world.institutions["meadow"])}
        assert line.ask("POST", PULL, headers=other).status == 403
    assert len(world.superlink.seen) == reached + 1
