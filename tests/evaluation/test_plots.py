"""Drawings, with names that somebody else chose."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from fedcredit.evaluation.drawing import Drawing
from fedcredit.evaluation.plots import against_epsilon, by_institution, gain_bars, plots, roc


@pytest.fixture(scope="module")
def drawn(report: dict[str, Any]) -> dict[str, str]:
    return plots(report)


def texts(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in ET.fromstring(svg).iter() if element.tag.endswith("}text")]  # noqa: S314


def test_the_loss_by_round_is_said_to_be_of_training(drawn: dict[str, str]) -> None:
    assert "training loss" in texts(drawn["Training loss by round"])
    assert "validation AUC" in texts(drawn["Validation AUC by round"])


def test_rounds_without_figures_draw_nothing(report: dict[str, Any]) -> None:
    bare = [{**entry, "loss": None, "auc": None} for entry in report["rounds"]]
    assert not [caption for caption in plots({**report, "rounds": bare}) if "by round" in caption]


def test_a_full_report_has_all_seven_drawings(drawn: dict[str, str]) -> None:
    assert len(drawn) == 7
    for svg in drawn.values():
        assert ET.fromstring(svg).tag.endswith("}svg")  # noqa: S314


def test_names_stand_in_the_drawing_as_they_are(report: dict[str, Any]) -> None:
    for svg in (by_institution(report["rows"], "test"), gain_bars(report["gain"])):
        assert {"杭州银行", "A<b>&co", "$x_1$|y", "_under", "Bank E"} <= set(texts(svg))


def test_no_stand_in_is_left_and_nothing_is_fetched(drawn: dict[str, str]) -> None:
    for svg in drawn.values():
        assert not [text for text in texts(svg) if text.startswith("@")]
        assert "<script" not in svg
        outside = svg.replace("http://www.w3.org/2000/svg", "").replace("http://www.w3.org/1999/xlink", "")
        assert "http" not in outside
        assert "<metadata" not in svg


def test_the_same_figures_give_the_same_drawing(report: dict[str, Any]) -> None:
    assert roc(report["curves"]["roc"]) == roc(report["curves"]["roc"])


@pytest.mark.parametrize("name", ["", "\x00\x1b[31m", "a" * 200, "@1@nnn", "]]>", "-->", "\N{RIGHT-TO-LEFT OVERRIDE}x"])
def test_a_hostile_name_stays_text(name: str) -> None:
    with Drawing("hostile") as drawing:
        drawing.axes.set_yticks([0, 1], [drawing.say(name), drawing.say("other")])
        svg = drawing.svg(title="names")
    shown = texts(svg)
    assert "other" in shown
    assert not [text for text in shown if len(text) > 28]


def test_settings_of_the_readers_notebook_are_left_alone(report: dict[str, Any]) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    roc(report["curves"]["roc"])
    assert dict(mpl.rcParams) == before


def test_nothing_to_draw_draws_nothing(report: dict[str, Any]) -> None:
    empty = {**report, "rows": [], "gain": [], "rounds": [], "curves": {"roc": [], "reliability": []}}
    assert plots(empty) == {}


def test_without_noise_there_is_no_epsilon_to_draw(report: dict[str, Any]) -> None:
    assert against_epsilon([row for row in report["rows"] if row["epsilon"] is None], "test") == ""


def test_each_kind_of_noise_has_its_own_line_and_each_kind_of_model_its_own_drawing(report: dict[str, Any]) -> None:
    rows = [row for row in report["rows"] if row["arm"] in ("federated", "pooled")]
    shared = [row | {"noise": "distributed"} for row in rows if row["arm"] == "federated" and row["epsilon"]]
    said = texts(against_epsilon([*rows, *shared], "test"))
    assert [text for text in said if text.startswith("federated")] == [
        "federated fedavg local",
        "federated fedavg distributed",
    ]
    both = {**report, "rows": [*rows, *(row | {"model": "mlp"} for row in rows)]}
    assert [caption.split(",")[1] for caption in plots(both) if "epsilon" in caption] == [" lstm", " mlp"]
