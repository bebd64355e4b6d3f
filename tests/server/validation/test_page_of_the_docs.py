"""docs/validation.md: its lines compute the figures of the evidence again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from fedcredit.evaluation.overrides import REASONS
from server.cli import model
from tests.server.validation.conftest import Finished

PAGE = Path(__file__).resolve().parents[3] / "docs" / "validation.md"
EXACT = {"auc", "gini", "ks", "bad_rate_at_approval", "psi", "epsilon", "quarantined"}


def test_lines_of_the_page_give_the_evidence_again(finished: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    (evidence,) = finished.run.evidence.glob("*.json")
    unit = next((finished.run.folder / "units").glob("*seed0*.json")).stem
    names: dict[str, Any] = {"RUN": str(finished.run.folder), "FILE": str(evidence), "UNIT": unit}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102
    figures = finished.evidence["figures"]
    assert set(names["again"]) > EXACT
    for name, value in names["again"].items():
        tolerance = 1e-9 if name in EXACT else 0.02 * abs(figures[name]["value"]) + 0.002
        assert value == pytest.approx(figures[name]["value"], abs=tolerance), name
    shown = capsys.readouterr().out
    assert "observed_expected" in shown
    rates = re.findall(r"^(\d{4}) \[([.\d]+)\]$", shown, flags=re.MULTILINE)
    part = finished.markdown.split("## 12. Vintages")[1].split("**Not covered:**")[0]
    told = re.findall(r"^\| (\d{4}) .*\| ([.\d]+) \\\[", part, flags=re.MULTILINE)
    assert [year for year, _ in rates] == ["2021", "2022"] == [year for year, _ in told]
    assert [round(100 * float(rate), 1) for _, rate in rates] == [float(rate) for _, rate in told]


def test_page_tells_every_option_of_the_command() -> None:
    text = PAGE.read_text(encoding="utf-8")
    command = get_command(model).commands["validate"]  # type: ignore[attr-defined]
    for option in [one.opts[0] for one in command.params if one.opts[0] not in ("version", "--runs")]:
        assert f"`{option}" in text, option
    for reason in REASONS:
        assert f"`{reason}`" in text, reason
    assert "SR 11-7" not in text
