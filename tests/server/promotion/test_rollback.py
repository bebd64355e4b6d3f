"""The way back: at once, to the champion before, and not further than there was one."""

from __future__ import annotations

import json

import pytest

from server.promotion.desk import Desk
from server.promotion.promote import PromotionRefused
from server.promotion.rollback import RollbackRefused, fallback, rollback
from server.promotion.standby import stand_by
from tests.server.promotion.world import World


def spoil(desk: Desk, sha256: str) -> None:
    (desk.folder / "bundles" / sha256 / "weights.safetensors").write_bytes(b"spoilt")


def test_rollback_goes_back_one_champion_each_time_and_not_beyond_the_first(world: World) -> None:
    a, b, c = (world.promote(world.bundle(bias=bias)) for bias in (0.1, 0.2, 0.3))
    assert rollback(world.desk, reason="bad").bundle_sha256 == b.bundle_sha256
    assert rollback(world.desk, reason="worse").bundle_sha256 == a.bundle_sha256
    with pytest.raises(RollbackRefused, match="before which there is none"):
        rollback(world.desk, reason="hopeless")
    champion = world.desk.champion()
    assert champion is not None
    assert champion.bundle_sha256 == a.bundle_sha256
    last = list(world.desk.history(is_each=True))[-1]
    assert (last.event, last.facts["from"], last.facts["reason"]) == ("rolled-back", b.bundle_sha256, "worse")
    assert c.seq < champion.seq, "the pointer's number rises, so that a service sees the move"


def test_rollback_without_a_champion_is_refused(world: World) -> None:
    with pytest.raises(RollbackRefused, match="no champion"):
        rollback(world.desk, reason="bad")


def test_rollback_of_another_champion_than_meant_is_refused(world: World) -> None:
    first, second = (world.promote(world.bundle(bias=bias)) for bias in (0.1, 0.2))
    with pytest.raises(RollbackRefused, match="somebody was faster"):
        rollback(world.desk, reason="bad", over=first.bundle_sha256)
    assert world.desk.champion() == second


def test_rollback_to_a_changed_bundle_is_refused_and_the_champion_stays(world: World) -> None:
    first, second = (world.promote(world.bundle(bias=bias)) for bias in (0.1, 0.2))
    spoil(world.desk, first.bundle_sha256)
    with pytest.raises(RollbackRefused, match="backup"):
        rollback(world.desk, reason="bad")
    assert world.desk.champion() == second


def test_fallback_passes_over_a_champion_whose_bundle_was_changed(world: World) -> None:
    a, b, c = (world.promote(world.bundle(bias=bias)) for bias in (0.1, 0.2, 0.3))
    spoil(world.desk, b.bundle_sha256)
    spoil(world.desk, c.bundle_sha256)
    assert fallback(world.desk, "does not load").bundle_sha256 == a.bundle_sha256
    last = list(world.desk.history(is_each=True))[-1]
    assert (last.event, last.facts["reason"], last.facts["from"]) == ("fell-back", "does not load", c.bundle_sha256)


def test_two_services_that_notice_one_fault_fall_back_once(world: World) -> None:
    first, second = (world.promote(world.bundle(bias=bias)) for bias in (0.1, 0.2))
    for _ in range(2):
        now = fallback(Desk(world.desk.folder), "NaN", over=second.bundle_sha256)
        assert now.bundle_sha256 == first.bundle_sha256
    assert [one.event for one in world.desk.history()].count("fell-back") == 1


def test_first_champion_has_nothing_to_fall_back_on(world: World) -> None:
    only = world.promote(world.bundle())
    with pytest.raises(RollbackRefused):
        fallback(world.desk, "NaN")
    assert world.desk.champion() == only


def test_challenger_and_shadow_stand_by_until_one_of_them_is_champion(world: World) -> None:
    world.promote(world.bundle(bias=0.1))
    folder, other = world.bundle(bias=0.2), world.bundle(bias=0.3)
    sha256, dark = world.keep(folder), world.keep(other)
    stand_by(world.desk, "challenger", sha256)
    stand_by(world.desk, "shadow", dark)
    raw = json.loads((world.desk.folder / "champion.json").read_text())
    assert (raw["challenger"]["bundle_sha256"], raw["shadow"]["bundle_sha256"]) == (sha256, dark)
    world.promote(folder)
    challenger, shadow = world.desk.challenger(), world.desk.shadow()
    assert challenger is None
    assert shadow is not None
    assert shadow.bundle_sha256 == dark
    assert stand_by(world.desk, "shadow", None) is None
    assert world.desk.shadow() is None


def test_champion_cannot_challenge_itself(world: World) -> None:
    champion = world.promote(world.bundle())
    with pytest.raises(PromotionRefused):
        stand_by(world.desk, "challenger", champion.bundle_sha256)
