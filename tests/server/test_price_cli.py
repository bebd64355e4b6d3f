"""`fedcredit model grade` and `price` on the command line."""

import json

import pytest
from typer.testing import CliRunner

from fedcredit.errors import ConfigError
from server.cli import model


def test_grade_prints_the_scale_or_the_grades_asked_for() -> None:
    assert len(CliRunner().invoke(model, ["grade"]).stdout.splitlines()) == 20
    found = json.loads(CliRunner().invoke(model, ["grade", "0.068", "0.0027", "--json"]).stdout)
    assert [(one["grade"], one["number"]) for one in found["grades"]] == [("B+", 14), ("A", 6)]
    assert isinstance(CliRunner().invoke(model, ["grade", "2"]).exception, ConfigError)


def test_price_prints_every_part_and_says_that_the_inputs_are_an_example() -> None:
    done = CliRunner().invoke(model, ["price", "--from", "B+", "--to", "A"])
    assert "expected loss     306.0     12.2    293.9" in done.stdout
    assert "example" in done.stderr
    words = ["price", "--from", "B+", "--to", "A", "--lgd", "0.25", "--sales", "5", "--json"]
    found = json.loads(CliRunner().invoke(model, words).stdout)
    assert found["saved_bp"]["total"] == pytest.approx(211.85, abs=0.01)
    assert found["terms"]["sales_million_eur"] == 5


def test_unknown_grade_is_refused() -> None:
    assert isinstance(CliRunner().invoke(model, ["price", "--from", "B+", "--to", "A++"]).exception, ConfigError)
