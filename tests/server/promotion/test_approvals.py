"""Two different people's word for this very thing, now; nothing less is an approval."""

from __future__ import annotations

import json
import multiprocessing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fedcredit.errors import ConfigError
from fedcredit.trust.envelope import merge
from fedcredit.trust.keys import Identity
from server.promotion.approvals import KIND, ApprovalRefused, approval_path, approve
from server.promotion.desk import Desk
from server.promotion.evidence import EvidenceRefused
from server.promotion.gates import Gates, read_gates
from server.promotion.judged import GateRefused
from server.promotion.promote import promote
from server.promotion.rollback import rollback
from tests.server.promotion.world import World


def now() -> datetime:
    return datetime.now(UTC)


def test_first_signature_asks_for_another_and_the_second_is_enough(world: World) -> None:
    sha256 = world.ready(world.bundle(), by=())
    one = approve(world.desk, sha256, by=world.people["ann"], now=now())
    assert (one.by, one.needed) == (("ann",), 1)
    with pytest.raises(ApprovalRefused, match="1 signatures of different approvers"):
        promote(world.desk, sha256, now=now())
    two = approve(world.desk, sha256, by=world.people["cem"], now=now())
    assert (two.by, two.needed) == (("ann", "cem"), 0)
    promote(world.desk, sha256, now=now())


def _sign(folder: Path, sha256: str, person: Identity) -> None:
    approve(Desk(folder), sha256, by=person, now=now())


def test_two_people_who_sign_at_once_are_both_there(world: World) -> None:
    sha256 = world.ready(world.bundle(), by=())
    context = multiprocessing.get_context("fork")
    people = [world.people[name] for name in ("ann", "bob", "cem")]
    children = [context.Process(target=_sign, args=(world.desk.folder, sha256, person)) for person in people]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert approve(world.desk, sha256, by=world.people["ann"], now=now()).by == ("ann", "bob", "cem")


def test_one_person_who_signs_twice_is_one_person(world: World) -> None:
    sha256 = world.ready(world.bundle(), by=("ann", "ann"))
    with pytest.raises(ApprovalRefused, match=r"1 signatures .*\(ann\)"):
        promote(world.desk, sha256, now=now())


def test_signature_that_is_written_twice_into_the_file_counts_once(world: World) -> None:
    sha256 = world.ready(world.bundle(), by=("ann",))
    path = approval_path(world.desk, sha256)
    raw = json.loads(path.read_bytes())
    raw["signatures"] *= 2
    path.write_text(json.dumps(raw))
    with pytest.raises(ApprovalRefused, match="1 signatures"):
        promote(world.desk, sha256, now=now())


def test_one_key_under_two_names_is_refused_in_the_gates() -> None:
    key = Identity.generate().public
    with pytest.raises(ConfigError, match="different people and keys"):
        Gates("fedcredit-quick", read_gates(), {"ann": key, "bob": key})


def test_key_of_no_approver_cannot_sign(world: World) -> None:
    sha256 = world.ready(world.bundle(), by=("ann",))
    with pytest.raises(ApprovalRefused, match="of no approver"):
        approve(world.desk, sha256, by=Identity.generate(), now=now())


def test_strangers_signature_in_the_file_counts_nothing(world: World) -> None:
    from fedcredit.trust.envelope import add_signature

    sha256 = world.ready(world.bundle(), by=("ann",))
    path = approval_path(world.desk, sha256)
    path.write_bytes(add_signature(path.read_bytes(), kind=KIND, by=Identity.generate()))
    with pytest.raises(ApprovalRefused, match="1 signatures"):
        promote(world.desk, sha256, now=now())


def test_copies_that_two_people_signed_apart_are_one_approval(world: World) -> None:
    sha256 = world.ready(world.bundle(), by=())
    at = now()
    path = approval_path(world.desk, sha256)
    approve(world.desk, sha256, by=world.people["ann"], now=at)
    ann = path.read_bytes()
    path.unlink()
    approve(world.desk, sha256, by=world.people["bob"], now=at)
    path.write_bytes(merge(path.read_bytes(), ann, kind=KIND))
    promote(world.desk, sha256, now=now())


def test_evidence_that_was_edited_after_approval_is_refused(world: World) -> None:
    sha256 = world.ready(world.bundle())
    path = world.desk.evidence(sha256)
    path.write_text(path.read_text().replace("0.011", "0.010"))
    with pytest.raises(ApprovalRefused, match="evidence that was changed since"):
        promote(world.desk, sha256, now=now())


def test_nobody_can_sign_what_a_gate_refuses(world: World) -> None:
    # A node goes by two signatures alone: those over a refused bundle would pass there.
    sha256 = world.keep(world.bundle())
    world.validate(sha256, ece=(0.5, None, None))
    with pytest.raises(GateRefused, match="calibration error"):
        approve(world.desk, sha256, by=world.people["ann"], now=now())
    assert not approval_path(world.desk, sha256).exists()


def test_evidence_that_is_edited_needs_new_signatures(world: World) -> None:
    sha256 = world.ready(world.bundle(), ece=(0.015, None, None))
    world.validate(sha256)
    with pytest.raises(ApprovalRefused, match="evidence that was changed since"):
        promote(world.desk, sha256, now=now())
    renewed = approve(world.desk, sha256, by=world.people["bob"], now=now())
    assert (renewed.by, renewed.was_renewed) == (("bob",), True)


def test_approval_over_another_champion_is_refused(world: World) -> None:
    world.promote(world.bundle(bias=0.1))
    late = world.ready(world.bundle(bias=0.2))
    world.promote(world.bundle(bias=0.3))
    with pytest.raises(EvidenceRefused, match="a comparison with"):
        promote(world.desk, late, now=now())
    world.validate(late)  # compared anew, but by nobody approved
    with pytest.raises(ApprovalRefused):
        promote(world.desk, late, now=now())


def test_expired_approval_is_refused_and_can_be_renewed(world: World) -> None:
    sha256 = world.ready(world.bundle(), by=())
    for person in ("ann", "bob"):
        approve(world.desk, sha256, by=world.people[person], now=now(), days=1)
    later = now() + timedelta(hours=25)
    with pytest.raises(ApprovalRefused, match="expired on"):
        promote(world.desk, sha256, now=later)
    for person in ("ann", "bob"):
        approve(world.desk, sha256, by=world.people[person], now=later)
    promote(world.desk, sha256, now=later)


def test_approval_of_a_champion_that_was_rolled_back_is_not_used_again(world: World) -> None:
    world.promote(world.bundle(bias=0.1))
    second = world.promote(world.bundle(bias=0.2))
    rollback(world.desk, reason="bad")
    with pytest.raises(ApprovalRefused, match="made a champion already"):
        promote(world.desk, second.bundle_sha256, now=now())
    for person in ("ann", "bob"):
        approve(world.desk, second.bundle_sha256, by=world.people[person], now=now())
    assert promote(world.desk, second.bundle_sha256, now=now()).bundle_sha256 == second.bundle_sha256


def test_approval_of_one_bundle_is_none_of_another(world: World) -> None:
    one, other = world.ready(world.bundle(bias=0.1)), world.ready(world.bundle(bias=0.2), by=())
    approval_path(world.desk, other).write_bytes(approval_path(world.desk, one).read_bytes())
    with pytest.raises(ApprovalRefused, match="for another bundle"):
        promote(world.desk, other, now=now())


@pytest.mark.parametrize("change", [b'"over":null', b"{", b"", b'{"schema":1}'])
def test_approval_that_was_damaged_is_refused(change: bytes, world: World) -> None:
    sha256 = world.ready(world.bundle())
    approval_path(world.desk, sha256).write_bytes(change)
    with pytest.raises(ApprovalRefused):
        promote(world.desk, sha256, now=now())


def test_one_bit_anywhere_in_an_approval_is_found(world: World) -> None:
    sha256 = world.ready(world.bundle())
    path = approval_path(world.desk, sha256)
    whole = path.read_bytes()
    # A bit in the file's white space is none of what was signed; one in a fingerprint makes a stranger's signature.
    for at in range(0, len(whole), 401):
        if not chr(whole[at]).isalnum():
            continue
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ApprovalRefused):
            promote(world.desk, sha256, now=now())
