"""What a terminal shows of a gain."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

import pandas as pd
import pytest

from fedcredit.evaluation.changes import Terms
from fedcredit.evaluation.gain import Gain, gains
from fedcredit.evaluation.gain_text import gain_text
from fedcredit.evaluation.panel import read_panel


@pytest.fixture(scope="module")
def found(predictions: pd.DataFrame) -> list[Gain]:
    terms = Terms(average_loan=1_000_000.0, currency="CNY")
    panel = read_panel(predictions, "test")
    return gains(panel, terms=terms, draws=100, config_sha256="c" * 64, predictions_sha256="e" * 64)


def test_every_institution_has_its_verdict_and_its_figures_against_each_own_model(found: list[Gain]) -> None:
    text = gain_text(found)
    for gain in found:
        assert f"{gain.institution}: {gain.verdict.upper()}" in text
    for words in ("AUC  ", "KS", "bad rate at own", "approval rate at own", "expected loss", "(ECE)", "slope"):
        assert len(re.findall(rf"^    (?:calibration error )?{re.escape(words)}|calibration {words}", text, re.M)) >= 10
    assert text.count("against incumbent: ") == 5
    assert "AUC, size micro" in text
    assert "an average loan is 1,000,000 CNY" in text


def test_the_hashes_stand_once_at_the_end(found: list[Gain]) -> None:
    last = gain_text(found).splitlines()[-3:]
    assert last == [f"config      {'c' * 64}", f"predictions {'e' * 64}", "draws       100, seed 0"]


def test_figures_are_those_of_the_gain(found: list[Gain]) -> None:
    (line, *_) = [line for line in gain_text(found[:1]).splitlines() if line.startswith("    AUC  ")]
    auc = found[0].against[0].changes.auc
    own, federated = f"{auc.baseline:.3f}".lstrip("0"), f"{auc.federated:.3f}".lstrip("0")
    assert line.split()[:3] == ["AUC", own, federated]


def test_no_line_reaches_120_columns(found: list[Gain]) -> None:
    long = [
        replace(gain, institution="杭州银行" * 9, against=tuple(replace(a, model="m " * 200) for a in gain.against))
        for gain in found
    ]
    for line in gain_text([*found, *long]).splitlines():
        assert sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in line) < 120


def test_a_name_cannot_steer_the_terminal(found: list[Gain]) -> None:
    assert "\x1b" not in gain_text([replace(found[0], institution="\x1b[2Jbank", reason="\x1b[31m")])


def test_an_institution_with_nothing_to_compare_has_its_reason(found: list[Gain]) -> None:
    bare = replace(found[0], against=(), verdict="not proven", reason="there is no model of its own to compare with")
    assert "there is no model of its own to compare with" in gain_text([bare])


def test_no_gain_is_no_text() -> None:
    assert gain_text([]) == ""
