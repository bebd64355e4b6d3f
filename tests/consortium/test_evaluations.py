"""Evaluations at a running consortium: under masks, charged at each node, as many as the study states and no more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from clients.audit_log import read_log
from clients.evaluations import Evaluations
from clients.verify import verify_node
from fedcredit.data.windows import join
from fedcredit.evaluation.grid import ScoreGrid
from fedcredit.federation.counting import CountTerms, Question
from fedcredit.models.build import build
from fedcredit.models.train import evaluate as probabilities
from fedcredit.privacy.ledger import Ledger
from fedcredit.trust.keys import Identity
from tests.consortium.world import NAMES, STUDY, World, masked, rows

pytestmark = pytest.mark.slow


def test_a_study_s_counts_come_masked_noised_and_charged_and_not_once_too_often(world: World) -> None:
    terms = CountTerms(evaluations=2, epsilon=10.0)
    task = replace(masked(), counts=terms, metrics="noised")
    question = Question(bins=16)
    done = world.conduct(world.order(task, rounds=1, questions=(question, question)))
    assert [one.institutions for one in done.evaluations] == [NAMES, NAMES]
    # The model of the run, on all held-out rows in one place.
    model = build(task.model, features=task.features, time=task.time, seed=task.seed)
    model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in done.state.arrays.items()})
    everyone = join(rows()).part("validation")
    pool = ScoreGrid(16).count(probabilities(model, torch.from_numpy(everyone.x)), everyone.y)
    for one in done.evaluations:
        assert np.abs(one.counts[0] - pool).max() <= 12 * max(one.deviation, 0.5)
    assert [one.epsilon_metrics for one in done.evaluations] == [10.0, 10.0]  # of all, in each of them
    for name in NAMES:
        home = world.founded.nodes[name]
        charged = [entry for entry in Ledger(home.ledger).entries() if entry.event == "charge"]
        assert [entry.kind for entry in charged if entry.kind == "metrics"] == ["metrics"] * 2
        assert Evaluations.beside(home.ledger, name).answered(STUDY) == 2
        public = Identity.load(home.identity).public
        left = [entry.facts for entry in read_log(home.audit_log, public=public) if entry.event == "left"]
        assert sum(facts["type"] == "query.masked" for facts in left) == 2
        masks = home.state / "masks.sqlite"
        assert verify_node(ledger=home.ledger, audit=home.audit_log, masks=masks, public=public).faults == ()
    # Another run of the study has its model, and no evaluation.
    again = world.conduct(world.order(task, rounds=1, questions=(question,)))
    assert again.evaluations == ()
    assert again.state.round == 1
