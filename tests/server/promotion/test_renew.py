"""After a rollback the champion is approved anew, so that nodes go back to it too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fedcredit.trust.promotion import PromotionRefused, open_promotion, peek_promotion
from server.promotion.approvals import ApprovalRefused, approve
from server.promotion.desk import DeskRefused
from server.promotion.kept import PROMOTION
from server.promotion.renew import renew
from server.promotion.rollback import rollback
from tests.server.promotion.world import World


def later(seconds: int) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_nodes_take_the_champion_back_once_two_people_have_approved_it_anew(world: World) -> None:
    first = world.promote(world.bundle(bias=0.1))
    second = world.promote(world.bundle(bias=0.2))
    rollback(world.desk, reason="bad")
    place = world.desk.bundle(first.bundle_sha256)
    published = peek_promotion((world.desk.bundle(second.bundle_sha256) / PROMOTION).read_bytes())
    with pytest.raises(PromotionRefused):
        peek_promotion((place / PROMOTION).read_bytes()).require_later(published)

    with pytest.raises(ApprovalRefused):  # what made it a champion does not do so again
        renew(world.desk, now=later(5))
    approve(world.desk, first.bundle_sha256, by=world.people["ann"], now=later(5))
    with pytest.raises(ApprovalRefused, match="1 signatures"):
        renew(world.desk, now=later(5))
    approve(world.desk, first.bundle_sha256, by=world.people["bob"], now=later(5))
    assert renew(world.desk, now=later(6)).bundle_sha256 == first.bundle_sha256

    officers = {name: one.public for name, one in world.people.items()}
    fresh = open_promotion((place / PROMOTION).read_bytes(), bundle_sha256=first.bundle_sha256, officers=officers)
    fresh.require_later(published)
    assert (world.desk.champion(), world.desk.previous()) == (world.desk.state().champion, None)
    assert [entry.event for entry in world.desk.history(is_each=True)][-1] == "renewed"
    with pytest.raises(ApprovalRefused, match="made a champion already"):
        renew(world.desk, now=later(7))


def test_desk_without_a_champion_renews_nothing(world: World) -> None:
    with pytest.raises(DeskRefused, match="no champion"):
        renew(world.desk, now=later(0))
