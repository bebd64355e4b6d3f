"""A node follows the consortium's manifest: also to a new authority, and also after its own manifest has run out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from clients import start
from clients.door import Door
from clients.facts import NodeFacts
from clients.home import NodeHome
from clients.refresh import Refresh, last_manifest
from clients.tunnel import node_tunnel
from fedcredit.link import caddy
from fedcredit.link.authority import Authority
from fedcredit.trust.keys import Identity
from fedcredit.trust.manifest import Manifest, ManifestFile, ManifestRefused, Member, seal_manifest
from server.gateway import Passes, gateway_config
from tests.link.world import Card, World, card

NOW = datetime.now(UTC).replace(microsecond=0)
FACTS = NodeFacts("harbour", server_name="gateway.test")


@dataclass
class Platform:
    """A gateway with a real manifest, and the node of `harbour`."""

    world: World
    node: NodeHome
    officer: Identity = field(default_factory=Identity.generate)
    identity: Identity = field(default_factory=Identity.generate)

    def manifest(self, version: int, **change: Any) -> Manifest:
        """With one member, by the certificate that is in its folder."""
        one = Card(self.node.tls_certificate, self.node.tls_key, self.world.institutions["harbour"].flower_key)
        member = Member("harbour", self.identity.public, one.flower_key, one.fingerprint, "active", NOW)
        said = Manifest(
            consortium="pearl",
            version=version,
            issued=NOW,
            expires=NOW + timedelta(days=90),
            threshold=1,
            officers={"ann": self.officer.public},
            members=(member,),
            operators=(),
            studies=(),
            packages=(),
            gateway=self.world.place.listen,
            authority=self.world.authority.pem,
        )
        return replace(said, **change)

    def give(self, one: Card) -> None:
        """What the platform has issued lies in the node's folder."""
        shutil.copy(one.certificate, self.node.tls_certificate)
        shutil.copy(one.key, self.node.tls_key)

    def serve(self, manifest: Manifest, **place: Any) -> None:
        """Put it in force: the gateway serves it and lets in whom it names."""
        self.world.place = replace(self.world.place, **place)
        self.world.place.manifest.write_bytes(seal_manifest(manifest, by=[self.officer]))
        config = gateway_config(Passes.of(manifest), self.world.place)
        if self.world.gateway is None:
            self.world.gateway = caddy.start(config, folder=self.world.folder / "run" / "gateway")
            self.world.running.append(self.world.gateway)
        else:
            self.world.gateway.reload(config)

    def keep(self, manifest: Manifest) -> None:
        """The node has joined with it, at that time."""
        data, file = seal_manifest(manifest, by=[self.officer]), ManifestFile(self.node.manifest)
        file.pin(data, fingerprint=manifest.root_fingerprint, now=manifest.issued)
        self.node.authority.write_text(manifest.authority)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    world = World.make(tmp_path / "platform")
    made = Platform(world, NodeHome(tmp_path / "harbour").make())
    made.give(world.institutions["harbour"])
    made.identity.save(made.node.identity)
    try:
        yield made
    finally:
        world.close()


def test_a_node_follows_to_a_new_authority_while_it_runs(platform: Platform) -> None:
    world, node = platform.world, platform.node
    old, new = world.authority.pem, Authority.create(world.folder / "new", name="pearl-river-2")
    platform.keep(platform.manifest(1))
    platform.serve(platform.manifest(1))
    with node_tunnel(node, FACTS, last_manifest(node)) as tunnel:
        refresh = Refresh(node, FACTS, last_manifest(node), tunnel=tunnel, on_members=lambda: None)
        platform.serve(platform.manifest(2, authority=new.pem + old))
        refresh.now()
        assert node.authority.read_text() == new.pem + old

        platform.give(card(new, world.folder, "harbour"))  # while it runs
        platform.serve(platform.manifest(3, authority=new.pem + old))
        refresh.now()
        assert refresh.version == 3

        gateway = card(new, world.folder, "gateway-2", role="server")
        finished = platform.manifest(4, authority=new.pem)
        platform.serve(finished, certificate=gateway.certificate, key=gateway.key)
        refresh.now()
        assert refresh.version == 4
        assert node.authority.read_text() == new.pem
        address = tunnel.address
        refresh.now()  # the tunnel trusts the new one alone by now, on the same port
        assert tunnel.address == address
        assert refresh.version == 4


def test_a_tunnel_that_knows_the_new_authority_alone_refuses_a_gateway_of_the_old(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    world, node = platform.world, platform.node
    new = Authority.create(world.folder / "new", name="pearl-river-2")
    platform.keep(platform.manifest(1))
    platform.serve(platform.manifest(1))
    last = last_manifest(node)
    with node_tunnel(node, FACTS, last) as tunnel:
        refresh = Refresh(node, FACTS, last, tunnel=tunnel, on_members=lambda: None)
        platform.serve(platform.manifest(2, authority=new.pem + world.authority.pem))
        refresh.now()
        data = seal_manifest(platform.manifest(3, authority=new.pem), by=[platform.officer])
        world.place.manifest.write_bytes(data)  # the gateway goes on showing a certificate of the old one
        refresh.now()
        assert refresh.version == 3
        caplog.clear()
        refresh.now()
        assert "no new manifest: manifest: found HTTP 502" in caplog.text


def run_out(platform: Platform) -> Manifest:
    issued = NOW - timedelta(days=100)
    return platform.manifest(1, issued=issued, expires=issued + timedelta(days=90))


class WorkerReached(Exception):
    """The node has come as far as its worker."""


@pytest.fixture
def starts(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run_node` ends where it would start its worker."""

    def reached(worker: object) -> None:
        raise WorkerReached

    monkeypatch.setattr(start, "read_facts", lambda home: FACTS)
    monkeypatch.setattr(start.Worker, "start", reached)


@pytest.mark.usefixtures("starts")
def test_a_node_that_was_off_when_its_manifest_ran_out_starts_with_the_newest(platform: Platform) -> None:
    platform.keep(run_out(platform))
    with pytest.raises(ManifestRefused, match="expired"):
        Door(ManifestFile(platform.node.manifest), platform.node.state / "seen.sqlite").manifest()
    platform.serve(platform.manifest(2))
    with pytest.raises(WorkerReached):
        start.run_node(platform.node)
    assert ManifestFile(platform.node.manifest).read(now=NOW).version == 2


@pytest.mark.usefixtures("starts")
def test_a_node_does_not_start_where_the_platform_has_nothing_newer_either(platform: Platform) -> None:
    platform.keep(run_out(platform))
    platform.serve(run_out(platform))
    with pytest.raises(ManifestRefused, match="expired"):
        start.run_node(platform.node)


def test_an_older_manifest_in_the_place_of_the_last_opens_no_tunnel(platform: Platform) -> None:
    first = run_out(platform)
    platform.keep(first)
    newer = seal_manifest(platform.manifest(2), by=[platform.officer])
    ManifestFile(platform.node.manifest).accept(newer, now=NOW)
    platform.node.manifest.write_bytes(seal_manifest(first, by=[platform.officer]))
    with pytest.raises(ManifestRefused, match="older"):
        last_manifest(platform.node)


def test_a_manifest_past_the_limit_is_not_taken(platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    platform.keep(platform.manifest(1))
    platform.serve(platform.manifest(1))
    platform.world.place.manifest.write_bytes(b" " * (17 * 1024 * 1024))
    last = last_manifest(platform.node)
    with node_tunnel(platform.node, FACTS, last) as tunnel:
        refresh = Refresh(platform.node, FACTS, last, tunnel=tunnel, on_members=lambda: None)
        refresh.now()
    assert "found a larger file" in caplog.text
    assert refresh.version == 1
