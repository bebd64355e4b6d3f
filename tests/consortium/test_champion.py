"""A promoted bundle goes from an operator's desk through the platform to every node, and scores there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from clients.audit_log import read_log
from clients.node_cli import node
from fedcredit.errors import FedCreditError
from fedcredit.federation.champion import CHAMPION, PROMOTION
from fedcredit.trust.envelope import seal
from fedcredit.trust.keys import Identity
from fedcredit.trust.words import moment_text
from server.promotion.desk import Desk
from server.publishing.publish_cli import prepared
from server.remote import publish_to_consortium
from tests.clients.promoted import MODEL, make_bundle
from tests.consortium.world import NAMES, STUDY, World

pytestmark = pytest.mark.slow


def make_desk(world: World, folder: Path, *, by: tuple[str, ...], days: float = 1.0, seed: int = 1) -> str:
    """The desk of a model whose champion these officers have promoted; its bundle's digest."""
    keys = world.founded.consortium.places.officers
    made = make_bundle(folder, seed=seed)
    place = folder / "bundles" / made.sha256
    place.parent.mkdir(exist_ok=True)
    if not place.exists():
        (folder / f"bundle-{seed}").rename(place)
    body = {
        "schema": 1,
        "model": MODEL,
        "version": "1",
        "bundle_sha256": made.sha256,
        "evidence_sha256": "e" * 64,
        "gates_sha256": "a" * 64,
        "over": None,
        "made": moment_text(datetime.now(UTC)),
        "expires": moment_text(datetime.now(UTC) + timedelta(days=days)),
    }
    signers = [Identity.load(keys / f"{name}.key") for name in by]
    (place / PROMOTION).write_bytes(seal(body, kind="promotion", by=signers))
    Desk(folder).record("promoted", {"bundle_sha256": made.sha256, "version": "1", "approval_sha256": "f" * 64})
    return made.sha256


@contextmanager
def no_rows(world: World, name: str) -> Iterator[None]:
    """The node without a table to train on."""
    table = world.founded.nodes[name].windows
    aside = table.rename(table.with_suffix(".aside"))
    try:
        yield
    finally:
        aside.rename(table)


def published(world: World, desk: Path) -> dict[str, object]:
    order = prepared(desk, study=STUDY, deadline_seconds=60.0)
    return publish_to_consortium(order, world.operator, patience_seconds=60.0)


def test_the_champion_of_two_officers_is_at_every_node_and_scores_there(world: World, tmp_path: Path) -> None:
    digest = make_desk(world, tmp_path, by=("ann", "ben"))
    with no_rows(world, NAMES[-1]):  # it only scores
        found = published(world, tmp_path)
    assert (found["kept"], found["is_everywhere"]) == (list(NAMES), True)
    table = tmp_path / "companies.csv"
    pd.DataFrame({"company": ["a"], "debt": [0.5], "sales": [1.0]}).to_csv(table, index=False)
    for home in world.founded.nodes.values():
        done = CliRunner().invoke(node, ["score", str(table), "--home", str(home.folder), "--json"])
        said = json.loads(done.stdout)
        assert (said["bundle_sha256"], said["promoted_by"]) == (digest, ["ann", "ben"])
        log = read_log(home.audit_log, public=Identity.load(home.identity).public)
        about = [one for one in log if one.facts.get("type") == CHAMPION]
        assert {one.facts["bundle_sha256"] for one in about} == {digest}
    make_desk(world, tmp_path, by=("ann",), days=2.0, seed=2)
    refused = published(world, tmp_path)
    assert refused["refused"] == dict.fromkeys(NAMES, "seal")


def test_a_study_that_the_consortium_has_not_allowed_publishes_nothing(world: World, tmp_path: Path) -> None:
    make_desk(world, tmp_path, by=("ann", "ben"))
    order = prepared(tmp_path, study="unknown", deadline_seconds=60.0)
    with pytest.raises(FedCreditError, match="no study unknown"):
        publish_to_consortium(order, world.operator, patience_seconds=60.0)
