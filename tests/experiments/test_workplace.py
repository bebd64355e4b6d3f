"""A run's units read the rows of their own run."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.workplace import Workplace
from tests.conftest import make_windows


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
