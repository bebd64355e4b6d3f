"""A run's units read the rows of their own run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from clients.app import app
from experiments.workplace import Workplace
from fedcredit.federation.grid import InProcessGrid
from server.app import conduct
from tests.conftest import make_windows
from tests.federation.conftest import make_order


def test_two_runs_of_one_name_in_two_working_folders_read_their_own_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for n in (30, 60):
        (tmp_path / str(n)).mkdir()
        monkeypatch.chdir(tmp_path / str(n))
        place = Workplace.build(Path("work"), make_windows("a", n=n), label_definition="90 dpd")
        found.append(len(place.rows()))
    assert found == [30, 60]


def test_own_rows_of_any_level_are_trained_on_where_nothing_leaves_the_machine(tmp_path: Path) -> None:
    windows = replace(make_windows("a", n=60), level=5)
    place = Workplace.build(tmp_path / "work", windows, label_definition="90 dpd", is_public=False)
    config = place.node_config("a", state=tmp_path / "state")
    assert (config["open-rows"], config["one-machine"]) == (False, True)
    done = conduct(InProcessGrid(app, [config]), make_order(rounds=2, quorum=1))
    assert [record.quarantined for record in done.state.history] == [{}, {}]
