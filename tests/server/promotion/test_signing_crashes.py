"""A process that is killed while a person signs leaves the old file or the new one, and nobody's signature is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedcredit.trust.envelope import SealBroken, signers_of
from server.cli import model
from server.promotion.approvals import KIND as APPROVAL
from server.promotion.approvals import approval_path, approve
from server.promotion.desk import Desk
from server.promotion.gates import KIND as GATES
from server.promotion.gates import Gate, Gates
from server.promotion.gates_file import DRAFT, IN_FORCE, GatesRefused, gates_in, read_sealed, sealed_gates
from server.promotion.promote import promote
from tests.server.promotion.test_crashes import crashes
from tests.server.promotion.world import NAME, World

STRICTER = (Gate("calibration", "ece", "value", "refuse", at_most=0.03),)


def call(desk: Desk, *words: object) -> None:
    """The command at that desk; what it raises goes on."""
    done = CliRunner().invoke(model, [*map(str, words), "--runs", str(desk.folder.parent.parent)])
    if done.exception is not None:
        raise done.exception


def key(world: World, person: str) -> Path:
    path = world.workshop / f"{person}.key"
    if not path.exists():
        world.people[person].save(path)
    return path


def signed(data: bytes | None, world: World, *, kind: str) -> set[str]:
    """Who has signed a whole file; a torn one does not open."""
    if data is None:
        return set()
    names = {one.public.fingerprint: name for name, one in world.people.items()}
    return {names[one] for one in signers_of(data, kind=kind, signers=[p.public for p in world.people.values()])}


@pytest.mark.slow
@pytest.mark.parametrize("is_torn", [False, True])
@pytest.mark.parametrize("there", [(), ("ann",)])
def test_kill_at_every_step_of_an_approval_keeps_who_had_signed(
    there: tuple[str, ...], is_torn: bool, world: World
) -> None:
    sha256 = world.ready(world.bundle(), by=there)
    path, bob = approval_path(world.desk, sha256), key(world, "bob")
    before, seen = read_sealed(path), []
    words = ("approve", sha256[:16], "--model", NAME, "--key", bob)
    for desk in crashes(world.desk.folder, lambda one: call(one, *words), is_torn=is_torn):
        data = read_sealed(approval_path(desk, sha256))
        by = signed(data, world, kind=APPROVAL)
        assert by in (set(there), {*there, "bob"})
        assert data == before or "bob" in by
        seen.append(len(by))
        for person in {"ann", "bob"} - by:
            approve(desk, sha256, by=world.people[person], now=datetime.now(UTC))
        assert promote(desk, sha256, now=datetime.now(UTC)).bundle_sha256 == sha256
    assert seen == sorted(seen), "once signed, always signed"
    assert set(seen) == {len(there), len(there) + 1}


def test_kill_at_every_step_of_renewing_an_approval_leaves_the_old_one_or_the_new(world: World) -> None:
    sha256 = world.ready(world.bundle(), ece=(0.015, None, None))
    world.validate(sha256)  # other evidence: what both have signed no longer holds
    before, bob = read_sealed(approval_path(world.desk, sha256)), key(world, "bob")
    words = ("approve", sha256[:16], "--model", NAME, "--key", bob)
    seen = set()
    for desk in crashes(world.desk.folder, lambda one: call(one, *words), is_torn=True):
        data = read_sealed(approval_path(desk, sha256))
        assert data == before or signed(data, world, kind=APPROVAL) == {"bob"}
        seen.add(data == before)
    assert seen == {True, False}


def stricter(world: World, *, threshold: int) -> Gates:
    current = world.desk.gates()
    people = {name: one.public for name, one in world.people.items()}
    return replace(current, gates=STRICTER, approvers=people, threshold=threshold, after=current.sha256)


@pytest.mark.slow
@pytest.mark.parametrize("is_torn", [False, True])
def test_kill_at_every_step_of_signing_gates_leaves_the_old_ones_or_the_new(is_torn: bool, world: World) -> None:
    old, new = world.desk.gates(), stricter(world, threshold=2)
    (world.desk.folder / DRAFT).write_bytes(sealed_gates(new, by=[world.people["ann"]]))
    words, seen = ("gates", "sign", NAME, "--key", key(world, "bob")), []
    for desk in crashes(world.desk.folder, lambda one: call(one, *words), is_torn=is_torn):
        current = desk.gates().sha256  # they verify
        assert current in (old.sha256, new.sha256)
        seen.append(current)
        if current == old.sha256:
            assert signed(read_sealed(desk.folder / DRAFT), world, kind=GATES) >= {"ann"}
            call(desk, *words)
        else:
            desk.mend()
        assert desk.gates().sha256 == new.sha256
        assert gates_in((desk.folder / IN_FORCE).read_bytes()).sha256 == new.sha256
    assert seen == sorted(seen, key=[old.sha256, new.sha256].index), "once new, always new"
    assert set(seen) == {old.sha256, new.sha256}


@pytest.mark.slow
def test_kill_at_every_step_of_signing_a_draft_that_needs_more_keeps_who_had_signed(world: World) -> None:
    old, new = world.desk.gates(), stricter(world, threshold=3)
    (world.desk.folder / DRAFT).write_bytes(sealed_gates(new, by=[world.people["ann"]]))
    words, seen = ("gates", "sign", NAME, "--key", key(world, "bob")), []
    for desk in crashes(world.desk.folder, lambda one: call(one, *words), is_torn=True):
        assert desk.gates().sha256 == old.sha256
        seen.append(signed(read_sealed(desk.folder / DRAFT), world, kind=GATES))
    assert seen[0] == {"ann"}
    assert all(by in ({"ann"}, {"ann", "bob"}) for by in seen)
    assert seen == sorted(seen, key=len)
    assert seen[-1] == {"ann", "bob"}


@pytest.mark.slow
def test_kill_at_every_step_of_founding_a_desk_leaves_none_or_a_whole_one(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "fresh" / "models" / NAME
    folder.mkdir(parents=True)
    first = Gates(NAME, STRICTER, {name: one.public for name, one in world.people.items()})
    (folder / DRAFT).write_bytes(sealed_gates(first, by=[world.people["ann"]]))
    words, seen = ("gates", "sign", NAME, "--key", key(world, "bob")), set()
    for desk in crashes(folder, lambda one: call(one, *words), is_torn=True):
        seen.add(desk.is_founded)
        if not desk.is_founded:
            assert signed(read_sealed(desk.folder / DRAFT), world, kind=GATES) >= {"ann"}
            call(desk, *words)
        assert desk.gates().sha256 == first.sha256
    assert seen == {True, False}


def test_gates_in_force_under_the_name_of_a_draft_are_not_lost_to_the_next_draft(world: World) -> None:
    """As a crash leaves them between the history's line and the new name."""
    new = stricter(world, threshold=2)
    sealed = sealed_gates(new, by=[world.people["ann"], world.people["bob"]])
    before = (world.desk.folder / IN_FORCE).read_bytes()
    world.desk.put_in_force(sealed)
    (world.desk.folder / DRAFT).write_bytes(sealed)
    (world.desk.folder / IN_FORCE).write_bytes(before)
    call(world.desk, "gates", "set", NAME, "--threshold", "3", "--key", key(world, "ann"))
    assert world.desk.gates().sha256 == new.sha256
    assert gates_in((world.desk.folder / DRAFT).read_bytes()).threshold == 3


def test_draft_of_the_same_gates_with_one_signature_does_not_replace_those_in_force(world: World) -> None:
    gates = world.desk.gates()
    (world.desk.folder / DRAFT).write_bytes(sealed_gates(gates, by=[world.people["ann"]]))
    world.desk.mend()
    assert world.desk.gates() == gates
    (world.desk.folder / IN_FORCE).unlink()
    world.desk.mend()
    with pytest.raises((GatesRefused, SealBroken)):
        world.desk.gates()
