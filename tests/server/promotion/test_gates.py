"""Gates are data that their approvers have signed: what they mean, and that nobody changes them by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fedcredit.errors import ConfigError
from fedcredit.trust.envelope import SealBroken, add_signature
from fedcredit.trust.keys import Identity
from server.promotion.desk import Desk
from server.promotion.evidence import Figure
from server.promotion.gates import KIND, Gate, Gates, read_gates
from server.promotion.gates_file import DRAFT, IN_FORCE, GatesRefused, sealed_gates
from server.promotion.history import HistoryBroken
from tests.server.promotion.world import NAME, World

LIMITS: list[tuple[dict[str, Any], float, bool]] = [
    ({"at_most": 0.02}, 0.02, True),
    ({"at_most": 0.02}, 0.0201, False),
    ({"at_least": 0.05}, 0.05, True),
    ({"at_least": 0.05}, 0.0499, False),
    ({"above": -0.005}, -0.005, False),
    ({"below": 0.25}, 0.25, False),
    ({"below": 0.25}, 0.2499, True),
]


@pytest.mark.parametrize(("limit", "value", "passes"), LIMITS)
def test_limit_holds_at_its_edge(limit: dict[str, Any], value: float, passes: bool) -> None:
    gate = Gate("one", "ece", "value", "refuse", **limit)
    assert gate.judge({"ece": Figure(value)}, is_first=False).passed == passes


@pytest.mark.parametrize(
    ("missing", "is_first", "passes"),
    [("refuse", True, False), ("pass", False, True), ("first", True, True), ("first", False, False)],
)
def test_unknown_figure_passes_only_where_the_gate_says_so(missing: Any, is_first: bool, passes: bool) -> None:
    gate = Gate("one", "ece", "value", missing, at_most=0.02)
    for figures in ({}, {"ece": Figure(None)}):
        assert gate.judge(figures, is_first=is_first).passed == passes


def test_limit_that_is_another_figure_is_refused_while_that_is_unknown() -> None:
    gate = Gate("budget", "epsilon", "value", "refuse", at_most_figure="epsilon_budget")
    assert gate.judge({"epsilon": Figure(3.0), "epsilon_budget": Figure(3.0)}, is_first=True).passed
    verdict = gate.judge({"epsilon": Figure(3.0)}, is_first=True)
    assert not verdict.passed
    assert "epsilon_budget, which is not known" in str(verdict)


def test_gates_as_shipped_are_those_of_the_model_risk_page() -> None:
    shipped = {gate.figure: gate for gate in read_gates()}
    assert shipped["delta_auc"].above == -0.005
    assert shipped["ece"].at_most == 0.02
    assert shipped["psi"].below == 0.25
    assert {"jeffreys_p", "fairness_gap", "epsilon", "membership_advantage", "data_age_hours", "quarantined"} < set(
        shipped
    )


@pytest.mark.parametrize(
    "line",
    [
        "{name: a, figure: luck, part: value, at_most: 1, missing: refuse}",
        "{name: a, figure: ece, part: middle, at_most: 1, missing: refuse}",
        "{name: a, figure: ece, part: value, missing: refuse}",
        "{name: a, figure: ece, part: value, at_most: 1, at_least: 0, missing: refuse}",
        "{name: a, figure: ece, part: value, at_most: .inf, missing: refuse}",
        "{name: a, figure: ece, part: value, at_most: .nan, missing: refuse}",
        "{name: a, figure: ece, part: value, at_most: 1, missing: shrug}",
        "{name: a, figure: ece, part: value, at_mots: 1, missing: refuse}",
        "{name: a, figure: ece, part: value, at_most: 1}",
    ],
)
def test_gate_that_means_nothing_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "gates.yaml").write_text(f"- {line}\n")
    with pytest.raises(ConfigError):
        read_gates(tmp_path / "gates.yaml")


def test_one_approver_alone_is_not_enough() -> None:
    ann, bob = Identity.generate().public, Identity.generate().public
    for people, threshold in (({"ann": ann}, 1), ({"ann": ann, "bob": bob}, 1), ({"ann": ann, "bob": bob}, 3)):
        with pytest.raises(ConfigError, match="approvers"):
            Gates(NAME, read_gates(), people, threshold)


def test_gates_with_one_signature_do_not_found_a_desk(tmp_path: Path) -> None:
    people = {name: Identity.generate() for name in ("ann", "bob")}
    gates = Gates(NAME, read_gates(), {name: key.public for name, key in people.items()})
    desk = Desk(tmp_path / NAME)
    with pytest.raises(SealBroken):
        desk.found(gates, by=[people["ann"], people["ann"]])
    assert not desk.is_founded
    desk.found(gates, by=list(people.values()))
    assert desk.gates() == gates


def test_gates_of_another_model_do_not_found_a_desk(world: World, tmp_path: Path) -> None:
    with pytest.raises(GatesRefused, match="gates of"):
        Desk(tmp_path / "fedcredit-other").found(world.desk.gates(), by=list(world.people.values()))


def test_gates_that_were_edited_by_hand_are_refused(world: World) -> None:
    path = world.desk.folder / IN_FORCE
    text = path.read_text()
    path.write_text(text.replace("0.02", "0.9"))
    with pytest.raises(GatesRefused, match="does not hold"):
        world.desk.gates()
    with pytest.raises(GatesRefused):
        world.promote(world.bundle())
    path.write_text(text)
    world.promote(world.bundle())


def test_gates_that_somebody_signed_with_keys_of_their_own_are_refused(world: World) -> None:
    thieves = {name: Identity.generate() for name in ("ann", "bob")}
    loose = Gates(NAME, world.desk.gates().gates[:1], {name: key.public for name, key in thieves.items()})
    (world.desk.folder / IN_FORCE).write_bytes(sealed_gates(loose, by=list(thieves.values())))
    with pytest.raises(GatesRefused, match="other than those that were signed into force"):
        world.desk.gates()


@pytest.mark.parametrize("content", [b"", b"{}", b"[", b'{"schema":1}'])
def test_gates_file_that_is_none_is_refused(content: bytes, world: World) -> None:
    (world.desk.folder / IN_FORCE).write_bytes(content)
    with pytest.raises(GatesRefused):
        world.desk.gates()


def changed(world: World) -> Gates:
    now = world.desk.gates()
    return Gates(now.model, now.gates[:3], now.approvers, now.threshold, after=now.sha256)


def test_gates_are_changed_by_two_approvers_and_the_change_is_on_record(world: World) -> None:
    data = sealed_gates(changed(world), by=[world.people["bob"]])
    with world.desk.locked(), pytest.raises(SealBroken):
        world.desk.put_in_force(data)
    data = add_signature(data, kind=KIND, by=world.people["cem"])
    with world.desk.locked():
        world.desk.put_in_force(data)
    assert len(world.desk.gates().gates) == 3
    assert [one.event for one in world.desk.history(is_each=True)] == ["begun", "founded", "gates"]


def test_new_approvers_alone_cannot_take_over(world: World) -> None:
    thieves = {name: Identity.generate() for name in ("eve", "mal")}
    now = world.desk.gates()
    everybody = now.approvers | {name: key.public for name, key in thieves.items()}
    taken = Gates(NAME, now.gates, everybody, after=now.sha256)
    with world.desk.locked(), pytest.raises(SealBroken):
        world.desk.put_in_force(sealed_gates(taken, by=list(thieves.values())))


def test_crash_between_the_record_and_the_file_leaves_the_new_gates_in_force(world: World) -> None:
    path = world.desk.folder / IN_FORCE
    old = path.read_bytes()
    with world.desk.locked():
        world.desk.put_in_force(sealed_gates(changed(world), by=list(world.people.values())))
    path.rename(world.desk.folder / DRAFT)
    path.write_bytes(old)
    assert len(Desk(world.desk.folder).gates().gates) == 3


def test_old_gates_put_back_in_place_of_the_new_ones_are_refused(world: World) -> None:
    path = world.desk.folder / IN_FORCE
    old = path.read_bytes()
    with world.desk.locked():
        world.desk.put_in_force(sealed_gates(changed(world), by=list(world.people.values())))
    path.write_bytes(old)
    with pytest.raises(GatesRefused, match="other than those"):
        world.desk.gates()


def test_old_gates_with_their_signatures_are_not_put_in_force_again(world: World) -> None:
    old = (world.desk.folder / IN_FORCE).read_bytes()
    with world.desk.locked():
        world.desk.put_in_force(sealed_gates(changed(world), by=list(world.people.values())))
        with pytest.raises(GatesRefused, match="follow the ones in force"):
            world.desk.put_in_force(old)


def test_desk_whose_key_was_replaced_is_refused(world: World) -> None:
    key = world.desk.folder / "desk.key"
    key.unlink()
    Identity.generate().save(key)
    with pytest.raises(HistoryBroken):
        Desk(world.desk.folder).champion()
    assert json.loads((world.desk.folder / IN_FORCE).read_text())["kind"] == KIND
