"""The service: scores, roles, refusals that name the field and never a cell, and a champion exchanged under load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.scoring.world import Serving, asked


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    made = Serving(tmp_path_factory.mktemp("serving")).start()
    yield made
    made.stop()


def test_a_company_gets_probability_grade_and_coverage(serving: Serving) -> None:
    status, score, _ = serving.score()
    assert status == 200, score
    assert 0 < score["pd"] < 1
    assert score["grade"]
