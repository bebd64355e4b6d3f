"""A candidate becomes champion past every gate and by two people's word; whatever else is refused with its reason."""

from __future__ import annotations

import json
import multiprocessing
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fedcredit.errors import PolicyRefused
from fedcredit.trust.envelope import open_sealed
from server.promotion.approvals import KIND
from server.promotion.desk import Desk, DeskRefused
from server.promotion.history import HistoryBroken
from server.promotion.judged import GateRefused
from server.promotion.pointer import PointerLags
from server.promotion.promote import PromotionRefused, promote, tried
from tests.conftest import small_files
from tests.server.promotion.world import World


def now() -> datetime:
    return datetime.now(UTC)


def events(desk: Desk) -> list[str]:
    return [entry.event for entry in desk.history(is_each=True)]


def pointer(desk: Desk) -> dict[str, object]:
    found: dict[str, object] = json.loads((desk.folder / "champion.json").read_text())
    return found


def test_desk_without_promotion_has_no_champion(world: World) -> None:
    assert world.desk.champion() is None
    assert Desk(world.workshop / "fedcredit-other").champion() is None


def test_approved_candidate_becomes_champion_and_the_pointer_says_so(world: World) -> None:
    folder = world.bundle()
    champion = world.promote(folder)
    assert world.desk.champion() == champion
    assert champion.version == "1"
    assert pointer(world.desk) == {
        "schema": 1, **champion.as_dict(), "challenger": None, "shadow": None, "previous": None,
    }  # fmt: skip
    assert events(world.desk) == ["begun", "founded", "intent", "promoted"]
    kept = world.desk.bundle(champion.bundle_sha256)
    assert (kept / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()


def test_another_process_sees_the_champion(world: World) -> None:
    other = Desk(world.desk.folder)
    assert other.champion() is None
    first = world.promote(world.bundle(bias=0.1))
    assert other.champion() == first
    second = world.promote(world.bundle(bias=0.2))
    assert (other.champion(), other.previous()) == (second, first)


def test_promoted_bundle_carries_the_approval_that_a_node_can_verify(world: World) -> None:
    champion = world.promote(world.bundle())
    data = (world.desk.bundle(champion.bundle_sha256) / "PROMOTION.json").read_bytes()
    officers = [world.people[name].public for name in ("ann", "bob")]
    body = open_sealed(data, kind=KIND, signers=officers, threshold=2)
    assert body["bundle_sha256"] == champion.bundle_sha256
    assert body["over"] is None


def test_everything_on_the_desk_is_for_its_owner_only(world: World) -> None:
    world.promote(world.bundle())
    assert stat.S_IMODE(world.desk.folder.stat().st_mode) == 0o700
    files = [path for path in world.desk.folder.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_refusal_names_the_gate_the_value_and_the_limit_and_is_on_record(world: World) -> None:
    first = world.promote(world.bundle(bias=0.1))
    sha256 = world.keep(world.bundle(bias=0.2))
    world.validate(sha256, ece=(0.031, None, None), psi=(0.3, None, None))
    with pytest.raises(GateRefused) as caught:
        promote(world.desk, sha256, now=datetime.now(UTC))
    assert caught.value.as_dict() == {
        "error": "GateRefused",
        "where": "gate 'calibration error'",
        "found": "ece 0.031",
        "expected": "<= 0.02",
        "hint": "mend the model or its data and validate it again; gates are changed by their approvers only; "
        "also refused: steady population: psi 0.3, limit < 0.25",
        "code": "gate",
    }
    assert caught.value.exit_code == 3
    assert world.desk.champion() == first
    last = list(world.desk.history())[-1]
    assert last.event == "refused"
    assert last.facts["gates"] == ["calibration error", "steady population"]


def test_unknown_figure_is_refused_with_the_reason_why_it_is_unknown(world: World) -> None:
    with pytest.raises(GateRefused, match=r"found epsilon none, expected <= 8(.|\n)*does not know this figure"):
        world.promote(world.bundle(), epsilon=(None, None, None))


def test_first_champion_needs_no_comparison_and_the_second_does(world: World) -> None:
    world.promote(world.bundle(bias=0.1), delta_auc=(None, None, None))
    with pytest.raises(GateRefused, match="no worse than the champion"):
        world.promote(world.bundle(bias=0.2), delta_auc=(None, None, None))
    with pytest.raises(GateRefused, match=r"found delta_auc, low end of its interval -0.005, expected > -0.005"):
        world.promote(world.bundle(bias=0.3), delta_auc=(0.001, -0.005, 0.007))
    world.promote(world.bundle(bias=0.4), delta_auc=(0.001, -0.0049, 0.007))


def test_epsilon_is_held_to_the_budget_that_the_evidence_names(world: World) -> None:
    with pytest.raises(GateRefused, match="found epsilon 3, expected <= 2"):
        world.promote(world.bundle(), epsilon_budget=(2.0, None, None))


def test_champion_itself_is_not_promoted_again(world: World) -> None:
    champion = world.promote(world.bundle())
    with pytest.raises(PromotionRefused, match="the champion itself"):
        promote(world.desk, champion.bundle_sha256, now=now())


def test_dry_run_says_what_would_be_and_changes_nothing(world: World) -> None:
    sha256 = world.ready(world.bundle())
    before = (world.desk.folder / "history.jsonl").read_bytes()
    trial = tried(world.desk, sha256, now=now())
    assert trial.refusal is None
    assert len(trial.verdicts) == 9
    assert (world.desk.folder / "history.jsonl").read_bytes() == before
    assert world.desk.champion() is None


@pytest.mark.parametrize("file", ["weights.safetensors", "model.json", "MANIFEST.sha256"])
def test_tampered_bundle_is_refused_at_promotion(file: str, world: World) -> None:
    sha256 = world.ready(world.bundle())
    path = world.desk.folder / "bundles" / sha256 / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(PromotionRefused):
        promote(world.desk, sha256, now=now())
    assert world.desk.champion() is None


def test_bundle_that_was_replaced_with_its_manifest_is_refused(world: World) -> None:
    sha256, other = world.ready(world.bundle(bias=0.1)), world.bundle(bias=0.2)
    for path in other.iterdir():
        (world.desk.folder / "bundles" / sha256 / path.name).write_bytes(path.read_bytes())
    with pytest.raises(PromotionRefused, match="another digest"):
        promote(world.desk, sha256, now=now())


def _promote(folder: Path, sha256: str, answers: multiprocessing.Queue[str]) -> None:
    try:
        promote(Desk(folder), sha256, now=now())
        answers.put("promoted")
    except PolicyRefused as fault:
        answers.put(fault.code)


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(world: World) -> None:
    world.promote(world.bundle(bias=0.1))
    candidates = [world.ready(world.bundle(bias=0.2)), world.ready(world.bundle(bias=0.3))]
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.Queue[str] = context.Queue()
    children = [context.Process(target=_promote, args=(world.desk.folder, one, answers)) for one in candidates]
    for child in children:
        child.start()
    found = sorted(answers.get(timeout=30) for _ in children)
    for child in children:
        child.join()
    # The other's evidence is beside a champion who is champion no more.
    assert found == ["evidence", "promoted"]
    assert events(world.desk).count("promoted") == 2
    champion = world.desk.champion()
    assert champion is not None
    assert pointer(world.desk)["bundle_sha256"] == champion.bundle_sha256
    assert champion.bundle_sha256 in candidates


def test_desk_that_another_command_holds_is_refused_after_patience(world: World) -> None:
    with (
        world.desk.locked(),
        pytest.raises(DeskRefused, match="another command"),
        Desk(world.desk.folder).locked(seconds=0.05),
    ):
        pass


@pytest.mark.parametrize("hand", ["changed", "cut", "swapped", "deleted"])
def test_a_hand_in_the_history_stops_promotion(hand: str, world: World) -> None:
    world.promote(world.bundle(bias=0.1))
    sha256 = world.ready(world.bundle(bias=0.2))
    path = world.desk.folder / "history.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    if hand == "deleted":
        path.unlink()
    else:
        hands = {
            "changed": [line.replace(b'"bob"', b'"eve"') for line in lines],
            "cut": lines[:-1],
            "swapped": [lines[0], lines[2], lines[1], *lines[3:]],
        }
        path.write_bytes(b"".join(hands[hand]))
    for desk in (world.desk, Desk(world.desk.folder)):
        with pytest.raises(HistoryBroken):
            promote(desk, sha256, now=now())
        with pytest.raises(HistoryBroken):
            desk.champion()


def test_pointer_that_was_edited_by_hand_is_mended_from_the_history(world: World) -> None:
    champion = world.promote(world.bundle())
    (world.desk.folder / "champion.json").write_text('{"bundle_sha256": "e"}')
    assert world.desk.champion() == champion
    world.desk.mend()
    assert pointer(world.desk)["bundle_sha256"] == champion.bundle_sha256


def test_full_disk_leaves_the_old_champion_and_promotes_with_room(world: World) -> None:
    first = world.promote(world.bundle(bias=0.1))
    sha256 = world.ready(world.bundle(bias=0.2))
    size = (world.desk.folder / "history.jsonl").stat().st_size
    with small_files(size + 100), pytest.raises(HistoryBroken, match="can be written"):
        promote(world.desk, sha256, now=now())
    assert world.desk.champion() == first
    assert promote(world.desk, sha256, now=now()).bundle_sha256 == sha256
    assert events(world.desk)[-2:] == ["intent", "promoted"]


def test_pointer_that_cannot_be_written_is_said_and_mended_later(world: World) -> None:
    sha256 = world.ready(world.bundle())
    (world.desk.folder / "champion.json").unlink(missing_ok=True)
    (world.desk.folder / "champion.json").mkdir()
    with pytest.raises(PointerLags):
        promote(world.desk, sha256, now=now())
    (world.desk.folder / "champion.json").rmdir()
    with pytest.raises(PromotionRefused, match="on the desk"):
        promote(world.desk, "0" * 64, now=now())  # any next command mends first
    assert (world.desk.folder / "champion.json").is_file()


def test_data_goes_on_ageing_after_the_validation(world: World) -> None:
    sha256 = world.ready(world.bundle(), data_age_hours=(20.0, None, None))
    with pytest.raises(GateRefused, match=r"gate 'fresh data': found data_age_hours 7\d.* expected <= 72"):
        promote(world.desk, sha256, now=now() + timedelta(hours=53))
    promote(world.desk, sha256, now=now() + timedelta(hours=51))


def test_evidence_from_the_future_is_refused(world: World) -> None:
    sha256 = world.ready(world.bundle())
    with pytest.raises(PolicyRefused, match="a moment before now"):
        promote(world.desk, sha256, now=now() - timedelta(days=1))
