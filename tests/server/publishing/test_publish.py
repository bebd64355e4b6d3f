"""A champion goes to every node by real Flower messages; who has it, refused it or was silent is told by name."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from clients.app import app
from clients.champion import champion_of, take
from fedcredit.errors import ConfigError, FederationError, ModelError
from fedcredit.federation.champion import PROMOTION, Sent
from fedcredit.federation.grid import InProcessGrid
from fedcredit.trust.promotion import PromotionRefused
from server.cli import model
from server.publishing.order import PublishOrder
from server.publishing.publish import Published, publish
from server.publishing.publish_cli import prepared
from tests.clients.governed import govern
from tests.clients.promoted import MODEL, STUDY, make_bundle, pin_manifest, promoted
from tests.conftest import Nodes
from tests.server.promotion.world import found
from tests.trust.consortium import identities

MakeNodes = Callable[..., Nodes]
OFFICERS = {name: identities()[name].public for name in ("ann", "bob", "eve")}
NAMES = {1: "bank-0", 2: "bank-1", 3: "bank-2"}
MEMBERS = ("bank-0", "bank-1", "bank-2", "bank-3")


@pytest.fixture
def banks(nodes: MakeNodes, tmp_path: Path) -> Nodes:
    """Three nodes of four members; the third's policy takes no model of this study."""
    made = nodes(3)
    govern(made, tmp_path)
    govern(made, tmp_path, only=2, studies=["other"])
    pin_manifest(tmp_path / "manifest.json")
    for config in made.configs:
        champion = str(tmp_path / f"champion-{config['institution']}")
        config |= {"manifest": str(tmp_path / "manifest.json"), "champion": champion}
    return made


def send(banks: Nodes, sent: Sent) -> Published:
    grid = InProcessGrid(app, banks.configs)
    return publish(
        grid, sent, names=NAMES, members=MEMBERS, study=STUDY, model=MODEL, deadline_seconds=5.0, poll_seconds=0.001
    )


def test_every_node_verifies_it_for_itself_and_says_so(banks: Nodes, tmp_path: Path) -> None:
    bundle, sent = promoted(tmp_path)
    found = send(banks, sent)
    assert (found.kept, found.had, found.silent, found.offline) == (("bank-0", "bank-1"), (), (), ("bank-3",))
    assert found.refused == {"bank-2": "study"}
    assert not found.is_everywhere
    for name in ("bank-0", "bank-1"):
        kept = champion_of(tmp_path / f"champion-{name}", MODEL, officers=OFFICERS)
        assert kept.bundle.sha256 == bundle.sha256
    assert not (tmp_path / "champion-bank-2").exists()
    assert send(banks, sent).had == ("bank-0", "bank-1")


def test_a_bundle_without_two_officers_is_refused_by_every_node(banks: Nodes, tmp_path: Path) -> None:
    _, sent = promoted(tmp_path, by=("ann",))
    assert set(send(banks, sent).refused.values()) == {"seal", "study"}


def test_what_is_no_bundle_is_sent_to_nobody(banks: Nodes, tmp_path: Path) -> None:
    _, sent = promoted(tmp_path)
    with pytest.raises(ModelError):
        send(banks, Sent({**sent.files, "model.json": b"{}"}))
    assert not (tmp_path / "champion-bank-0").exists()


def test_without_a_node_online_it_says_so(tmp_path: Path) -> None:
    _, sent = promoted(tmp_path)
    grid = InProcessGrid(app, [])
    with pytest.raises(FederationError, match="no node online"):
        publish(grid, sent, names={}, members=MEMBERS, study=STUDY, model=MODEL, deadline_seconds=1.0)


def order(folder: Path) -> PublishOrder:
    promoted(folder)
    return PublishOrder.of_folder(folder / "bundle-1", study=STUDY, run="publish-1")


def test_an_order_arrives_as_it_was_sent(tmp_path: Path) -> None:
    sent = order(tmp_path)
    assert PublishOrder.from_config(sent.as_config()) == sent
    assert sent.folder == "quickstart/publish-1/champion"


def test_other_files_under_a_signed_order_are_refused(tmp_path: Path) -> None:
    config = order(tmp_path).as_config()
    _, other = promoted(tmp_path, seed=2)
    with pytest.raises(ConfigError, match="other files"):
        PublishOrder.from_config({**config, "champion": other.to_text()})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"publish": 7}', '{"publish": {"study": "x"}}', "[" * 9_999])
def test_text_that_is_no_order_is_refused(tmp_path: Path, text: str) -> None:
    import hashlib

    config = order(tmp_path).as_config()
    with pytest.raises(ConfigError):
        PublishOrder.from_config({**config, "order": text, "order-sha256": hashlib.sha256(text.encode()).hexdigest()})


@pytest.mark.parametrize(
    "text", ["", "[]", "7", '{"model.json": 7}', '{"model.json": "?"}', "[" * 9_999, "x" * 20_000_000]
)
def test_files_of_another_form_are_refused(tmp_path: Path, text: str) -> None:
    config = order(tmp_path).as_config()
    with pytest.raises(ConfigError):
        PublishOrder.from_config({**config, "champion": text})


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".ssh"])
def test_a_run_that_is_no_folder_of_its_own_is_refused(tmp_path: Path, name: str) -> None:
    promoted(tmp_path)
    with pytest.raises(ConfigError, match=r"order\.run"):
        PublishOrder.of_folder(tmp_path / "bundle-1", study=STUDY, run=name)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A desk with a champion."""
    folder = tmp_path / "runs" / "models" / MODEL
    make_bundle(tmp_path)
    found(folder).promote(tmp_path / "bundle-1")
    return folder


def said(desk: Path, *words: str) -> Any:
    done = CliRunner().invoke(model, ["publish", MODEL, "--runs", str(desk.parents[1]), *words])
    if done.exception:
        raise done.exception
    return json.loads(done.stdout)


def test_a_dry_run_says_what_each_node_would_be_sent(desk: Path) -> None:
    found = said(desk, "--dry-run", "--json")
    assert (found["model"], found["study"]) == (MODEL, STUDY)
    assert 5_000 < found["bytes"] < 100_000


def test_a_champion_without_its_promotion_is_not_sent(desk: Path) -> None:
    next(desk.glob(f"bundles/*/{PROMOTION}")).unlink()
    with pytest.raises(ConfigError, match=r"PROMOTION\.json"):
        said(desk, "--dry-run", "--json")


def test_what_a_desk_promotes_is_what_a_node_takes(tmp_path: Path) -> None:
    world = found(tmp_path / "models" / "fedcredit-quick")
    folder = world.desk.folder
    officers = {name: identity.public for name, identity in world.people.items()}
    first = world.promote(world.bundle(bias=0.5))
    at_first = prepared(folder, study="quick", deadline_seconds=60.0)
    taken = take(tmp_path / "node", at_first.sent.files, officers=officers, now=datetime.now(UTC))
    assert (taken.bundle.sha256, taken.promotion.by) == (first.bundle_sha256, ("ann", "bob"))
    time.sleep(1.1)  # an approval's last moment is told to the second
    second = world.promote(world.bundle(bias=-0.5))
    later = prepared(folder, study="quick", deadline_seconds=60.0)
    assert later.bundle_sha256 == second.bundle_sha256
    take(tmp_path / "node", later.sent.files, officers=officers, now=datetime.now(UTC))
    with pytest.raises(PromotionRefused):
        take(tmp_path / "node", at_first.sent.files, officers=officers, now=datetime.now(UTC))
    assert champion_of(tmp_path / "node", None, officers=officers).bundle.sha256 == second.bundle_sha256
