"""The page on testing grades: its example runs, and what it names exists."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "backtesting.md"


def test_the_example_of_the_page_gives_what_it_shows() -> None:
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted > 8
    assert not found.failed


def test_every_function_that_the_page_names_exists() -> None:
    rows = "\n".join(line for line in PAGE.read_text().splitlines() if line.startswith("|"))
    named = set(re.findall(r"`(\w+)\.(\w+)`", rows))
    assert len(named) >= 15
    for module, function in named:
        assert callable(getattr(importlib.import_module(f"fedcredit.evaluation.{module}"), function))
