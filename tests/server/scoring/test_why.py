"""Reasons come with a score where they are asked for, about that very score, and only up to the caller's level."""

from __future__ import annotations

import json

import pytest

from experiments.benchmarks.serving_world import Platform, body
from fedcredit.models import bundle as bundles
from server.scoring.lineup import Served
from server.scoring.messages import CompanyRows, read
from server.scoring.policy import Policy
from server.scoring.why import reasons_for


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    platform = Platform.make(tmp_path_factory.mktemp("why"))
    sha256 = platform.ready(1)
    return Served(bundles.read(platform.desk.bundle(sha256)), version="1", policy=Policy())


def test_reasons_are_of_the_grade_that_was_given_and_keep_their_order(served: Served) -> None:
    from server.scoring.lineup import GRADES, grade_of

    one = read(CompanyRows, body()).rows
    other = [{**row, "cash_sales": 1.0} if "cash_sales" in row else row for row in one[-3:]]
    found = reasons_for(served, [one, other, one], level=3, language="en")
    for rows, reasons in zip([one, other, one], found, strict=True):
        p = served.scores(served.reader.read(rows).x[None])
        assert reasons["grade"] == GRADES[int(grade_of(p)[0])]
    assert found[0] == found[2]
    assert found[0]["reasons"] or found[0]["strengths"]


def test_a_field_above_the_level_is_not_named(served: Served) -> None:
    columns = served.bundle.schema.columns
    rows = read(CompanyRows, body()).rows
    levels = {one.name: one.level for one in columns}
    for level in (2, 3):
        found = reasons_for(served, [rows], level=level, language="zh")[0]
        named = {one["indicator"] for one in [*found["reasons"], *found["strengths"]]}
        assert all(levels.get(name, 1) <= level for name in named), json.dumps(sorted(named))
