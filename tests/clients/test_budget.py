"""The institution's own limits hold whatever a platform proposes, and no name or folder makes its ledger forget."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from clients.app import app
from experiments.workplace import OWN_TABLES, POOLED, Workplace
from fedcredit.errors import ConfigError
from fedcredit.federation.grid import InProcessGrid
from fedcredit.privacy.accounting import solve_noise
from fedcredit.privacy.ceilings import Ceilings
from fedcredit.privacy.entry import Entry
from fedcredit.privacy.ledger import Ledger, ledger_path
from server.app import conduct
from tests.clients.test_app import PRIVATE, TERMS, charged_rounds, code_of, train
from tests.conftest import Nodes, make_windows
from tests.federation.conftest import make_order, make_task

MakeNodes = Callable[..., Nodes]
# What the terms of the tests come to: ten rounds and one in reserve.
NOISE = solve_noise(TERMS.epsilon, delta=TERMS.delta, sample_rate=TERMS.sample_rate, steps=11)


@pytest.fixture
def limited(nodes: MakeNodes, tmp_path: Path) -> Callable[..., Nodes]:
    """A bank whose operator wrote these ceilings into a file."""

    def make(**ceilings: float) -> Nodes:
        path = tmp_path / f"ceilings-{len(list(tmp_path.glob('*.yaml')))}.yaml"
        path.write_text(yaml.safe_dump(ceilings))
        return nodes(1, ceilings=str(path))

    return make


def test_server_proposed_noise_below_the_institutions_floor_is_refused(limited: Callable[..., Nodes]) -> None:
    banks = limited(least_noise=1.01 * NOISE)
    assert (code_of(train(banks, PRIVATE)), charged_rounds(banks)) == ("refused", [])
    assert train(limited(least_noise=0.99 * NOISE), PRIVATE).has_content()


def test_server_proposed_clip_above_the_institutions_ceiling_is_refused(limited: Callable[..., Nodes]) -> None:
    banks = limited(largest_clip=0.9)
    assert (code_of(train(banks, PRIVATE)), charged_rounds(banks)) == ("refused", [])


def test_server_proposed_epsilon_above_the_ceiling_of_a_run_is_refused(limited: Callable[..., Nodes]) -> None:
    banks = limited(run_epsilon=3.0)
    assert (code_of(train(banks, PRIVATE)), charged_rounds(banks)) == ("budget", [])


def test_a_second_run_under_another_name_does_not_start_the_budget_anew(limited: Callable[..., Nodes]) -> None:
    banks = limited(lifetime_epsilon=5.0)
    assert train(banks, PRIVATE).has_content()
    assert code_of(train(banks, replace(PRIVATE, run="another-name"))) == "budget"


def test_deleting_the_state_of_a_run_gives_nothing_back(limited: Callable[..., Nodes]) -> None:
    banks = limited(lifetime_epsilon=5.0)
    for _ in range(11):
        assert train(banks, PRIVATE).has_content()
    shutil.rmtree(banks.configs[0]["state"])
    assert code_of(train(banks, PRIVATE)) == "budget"
    assert len(charged_rounds(banks)) == 11


def test_where_a_lifetime_has_a_ceiling_nothing_is_trained_without_noise(limited: Callable[..., Nodes]) -> None:
    assert code_of(train(limited(lifetime_epsilon=5.0), make_task())) == "budget"


def test_a_ledger_edited_by_hand_stops_the_training(nodes: MakeNodes) -> None:
    banks = nodes(1)
    assert train(banks, PRIVATE).has_content()
    with sqlite3.connect(banks.configs[0]["ledger"]) as db:
        db.executescript("DROP TRIGGER no_update; UPDATE entries SET count = 1")
    db.close()
    assert code_of(train(banks, PRIVATE, number=2)) == "ledger"


def test_a_ceilings_file_with_a_slip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ceilings.yaml"
    path.write_text("lifetime_epsilom: 8\n")
    with pytest.raises(ConfigError, match="unknown key 'lifetime_epsilom'"):
        Ceilings.read(path)
    for wrong in ("lifetime_epsilon: 0\n", "institutions: 0\n", "[\n"):
        path.write_text(wrong)
        with pytest.raises(ConfigError):
            Ceilings.read(path)
    path.write_text("")
    assert Ceilings.read(path) == Ceilings()


# Studies on one machine.


def entries_of(ledger: Path) -> list[Entry]:
    return Ledger(ledger).entries()


def test_a_study_of_an_own_table_is_charged_where_no_run_can_delete_it(tmp_path: Path) -> None:
    windows = make_windows("a", n=60)
    place = Workplace.build(tmp_path / "work", windows, label_definition="90 dpd", is_public=False, run="mine/1")
    config = place.node_config("a", state=tmp_path / "state")
    conduct(InProcessGrid(app, [config]), make_order(replace(PRIVATE, run="u"), rounds=2, quorum=1))
    shutil.rmtree(tmp_path / "state")
    entries = entries_of(ledger_path(OWN_TABLES))
    assert [(e.event, e.run, e.study, e.population) for e in entries] == [
        ("plan", "mine/1/u", "mine/1", "a"),
        ("charge", "mine/1/u", "mine/1", "a"),
        ("charge", "mine/1/u", "mine/1", "a"),
    ]


def test_a_pooled_model_of_own_tables_is_charged_to_every_institution(tmp_path: Path) -> None:
    a, b = make_windows("a", n=60), make_windows("b", n=60)
    both = replace(a.take(a.institution == "a"), institution=a.institution.copy())
    both.institution[30:] = b.institution[0]
    place = Workplace.build(tmp_path / "work", both, label_definition="90 dpd", is_public=False, run="mine/1")
    config = place.node_config(POOLED, state=tmp_path / "state")
    conduct(InProcessGrid(app, [config]), make_order(replace(PRIVATE, run="u"), rounds=1, quorum=1))
    charged = [entry.population for entry in entries_of(ledger_path(OWN_TABLES)) if entry.event == "charge"]
    assert charged == ["a", "b"]


def test_public_rows_are_charged_inside_the_run(tmp_path: Path) -> None:
    place = Workplace.build(tmp_path / "work", make_windows("a", n=60), label_definition="90 dpd", run="s/1")
    config = place.node_config("a", state=tmp_path / "state")
    conduct(InProcessGrid(app, [config]), make_order(PRIVATE, rounds=1, quorum=1))
    (ledger,) = tmp_path.rglob("*.sqlite")
    assert ledger == tmp_path / "state" / "0" / "runs" / "test" / "ledger.sqlite"
    assert not ledger_path(OWN_TABLES).exists()
