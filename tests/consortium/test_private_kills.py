"""A masked run under privacy is cut in two: ledger, attempts and audit log agree, and the spend is what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from fedcredit.federation.messages import Masking, PrivacyTerms, Task
from fedcredit.privacy.entry import Entry
from fedcredit.privacy.ledger import Ledger
from tests.consortium.breaking import (
    after_round,
    held_in_training,
    kill,
    kill_node,
    mended,
    status_of,
    verify_every_node,
)
from tests.consortium.world import NAMES, World
from tests.federation.conftest import make_task

pytestmark = pytest.mark.slow
ROUNDS = 5
TERMS = PrivacyTerms(
    epsilon=8.0, delta=1e-5, clip=1.0, sample_rate=0.5, steps=1, rounds=ROUNDS, noise="distributed", dropouts=1
)


@pytest.fixture(autouse=True)
def whole(world: World) -> Iterator[None]:
    """Whatever a test breaks here is mended at its end."""
    with mended(world):
        yield


def private() -> Task:
    """Masked, with each institution's share of the noise."""
    return make_task(privacy=TERMS, masking=Masking((NAMES,), 16.0), metrics="none")


def charges_of(world: World, name: str, *, run: str) -> list[Entry]:
    """What the node's ledger has charged for a run."""
    entries = Ledger(world.founded.nodes[name].ledger).entries()
    return [entry for entry in entries if entry.event == "charge" and entry.run.endswith(run)]


def test_private_masked_run_survives_its_coordinator_and_nothing_is_lost_or_spent_unseen(world: World) -> None:
    order = world.order(private(), rounds=ROUNDS, deadline_seconds=200.0)  # the first noise of a worker takes seconds
    done = world.conduct(order, on_round=after_round(2, lambda: kill(status_of(world, order)["pid"])))
    assert [record.round for record in done.state.history] == list(range(1, ROUNDS + 1))
    assert set(done.epsilon) == set(NAMES)
    for name in NAMES:
        charges = charges_of(world, name, run=order.run)
        attempts = Counter(entry.round for entry in charges)
        # Each round once, and the one that was under way at most once more: its first attempt is spent all the same.
        assert sorted(attempts) == list(range(1, ROUNDS + 1))
        assert len(charges) <= ROUNDS + 1
        assert {entry.attempt for entry in charges} == set(range(1, max(attempts.values()) + 1))
        # Epsilon grows slower than the number of charges.
        assert 0.0 < done.epsilon[name] <= TERMS.epsilon * len(charges) / ROUNDS + 1e-3
    verify_every_node(world)


def test_private_masked_run_survives_a_node_and_has_it_back(world: World) -> None:
    order = world.order(private(), rounds=ROUNDS, quorum=3, deadline_seconds=120.0)

    def kill_in_training() -> None:
        with held_in_training(world, "bank-c"):
            kill_node(world, "bank-c")
        world.processes.start_node("bank-c")

    done = world.conduct(order, on_round=after_round(1, kill_in_training))
    assert done.state.round == ROUNDS
    assert done.state.history[-1].institutions == list(NAMES)
    verify_every_node(world)
