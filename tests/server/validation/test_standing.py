"""A model's desk tells the champion, the approvals and the history; evidence that was signed keeps its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from fedcredit.errors import PolicyRefused
from fedcredit.trust.keys import Identity
from server.promotion.approvals import approve
from server.promotion.desk import Desk
from server.promotion.gates import Gate, Gates
from server.promotion.kept import keep
from server.promotion.promote import promote
from server.scoring.book import ScoreBook
from server.validation.validate import Asked, save, validate
from tests.server.validation.conftest import MakeRun, Run

QUICK = Asked(draws=200)


@dataclass
class World:
    """A founded desk with two approvers, and a gate that asks for the privacy budget alone."""

    desk: Desk
    people: dict[str, Identity]

    def approve(self, sha256: str, *people: str) -> None:
        for person in people:
            approve(self.desk, sha256, by=self.people[person], now=datetime.now(UTC))


def world_of(run: Run) -> World:
    people = {name: Identity.generate() for name in ("ann", "bob")}
    gates = Gates(
        "fedcredit-quick",
        (Gate("budget", "epsilon", "value", "refuse", at_most_figure="epsilon_budget"),),
        {name: one.public for name, one in people.items()},
    )
    desk = Desk(run.runs / "models" / "fedcredit-quick")
    desk.found(gates, by=list(people.values()))
    return World(desk, people)


def written(run: Run) -> tuple[Path, str]:
    paths = save(validate(run.model, runs=run.runs, asked=QUICK), runs=run.runs)
    return paths["json"], paths["html"].read_text(encoding="utf-8")


def test_approvals_of_two_persons_are_shown_and_the_evidence_they_signed_is_left_as_it_is(run: Run) -> None:
    world = world_of(run)
    sha256 = keep(world.desk.folder, Path(run.model), version="1")
    path, page = written(run)
    signed = path.read_bytes()
    assert "Nobody has approved this version." in page
    world.approve(sha256, "ann", "bob")
    path, page = written(run)
    assert path.read_bytes() == signed
    assert "ann, bob" in page
    assert "2 of 2" in page
    assert promote(world.desk, sha256, now=datetime.now(UTC)).bundle_sha256 == sha256


def test_one_signature_is_told_as_one(run: Run) -> None:
    world = world_of(run)
    sha256 = keep(world.desk.folder, Path(run.model), version="1")
    written(run)
    world.approve(sha256, "bob")
    assert "1 of 2" in written(run)[1]


def test_champion_in_force_is_compared_with_unless_told_otherwise(make_run: MakeRun) -> None:
    first, second = make_run(), make_run(weight=0.4, time="20260102T000000Z")
    world = world_of(first)
    champion = keep(world.desk.folder, Path(first.model), version="1")
    written(first)
    world.approve(champion, "ann", "bob")
    promote(world.desk, champion, now=datetime.now(UTC))
    made = validate(second.model, runs=second.runs, asked=QUICK)
    assert made.evidence.against == {"bundle_sha256": champion, "version": "1"}
    assert made.evidence.figures["delta_auc"].value is not None
    save(made, runs=second.runs)
    candidate = keep(world.desk.folder, Path(second.model), version="2")
    world.approve(candidate, "ann", "bob")
    assert promote(world.desk, candidate, now=datetime.now(UTC)).version == "2"
    alone = validate(second.model, runs=second.runs, asked=Asked(alone=True, draws=200))
    assert alone.evidence.against is None
    history = next(one for one in alone.sections if one.key == "approvals").grids[-1]
    assert [row[2] for row in history.rows][-2:] == ["intent", "promoted"]


def test_history_edited_by_hand_is_refused(run: Run) -> None:
    world = world_of(run)
    path = world.desk.folder / "history.jsonl"
    path.write_text(path.read_text().replace("founded", "refused", 1))
    with pytest.raises(PolicyRefused):
        validate(run.model, runs=run.runs, asked=QUICK)


def test_age_of_the_oldest_score_comes_from_the_book(run: Run) -> None:
    assert validate(run.model, runs=run.runs, asked=QUICK).evidence.figures["data_age_hours"].value is None
    folder = run.runs / "models" / "fedcredit-quick"
    folder.mkdir(parents=True)
    scores = {"company": ["a"], "period": ["2026-01"], "pd": [0.1], "coverage": [1.0], "model_version": ["quick-1"]}
    with ScoreBook(folder / "scores.sqlite") as book:
        book.put(pd.DataFrame(scores), scored_at=datetime.now(UTC))
        book.live(["a"])
    found = validate(run.model, runs=run.runs, asked=QUICK).evidence.figures["data_age_hours"]
    assert found.value is not None
    assert 0 <= found.value < 1
