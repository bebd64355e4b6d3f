"""A world file is read strictly, says where each number comes from, and can be drawn anew within its ranges."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fedcredit.data.worlds.world import SHIPPED, draw, read_world
from fedcredit.errors import ConfigError


def changed(tmp_path: Path, **sections: object) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"schema": 1, "extends": "default"} | sections), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", SHIPPED)
def test_every_parameter_of_a_shipped_world_has_a_range_around_it_and_a_source(name: str) -> None:
    world = read_world(name)
    assert len(world.leaves) > 130
    for leaf in world.leaves.values():
        assert leaf.range[0] <= leaf.value <= leaf.range[1]
        assert leaf.source


def test_worlds_differ_only_in_what_they_say() -> None:
    default, null = read_world("default"), read_world("null")
    differing = [name for name in default.leaves if default.leaves[name].value != null.leaves[name].value]
    assert differing == ["hazard.strength"]
    assert read_world("harsh").population.default_rate > default.population.default_rate


def test_a_drawn_world_lies_in_the_ranges_and_repeats(tmp_path: Path) -> None:
    world = read_world("default")
    drawn = draw(world, 7)
    assert drawn == draw(world, 7)
    assert drawn != draw(world, 8)
    moved = [name for name, leaf in drawn.leaves.items() if leaf.value != world.leaves[name].value]
    assert len(moved) > 110
    path = tmp_path / "drawn.yaml"
    path.write_text(yaml.safe_dump(drawn.as_dict(), allow_unicode=True), encoding="utf-8")
    assert read_world(path).hazard == drawn.hazard
    assert read_world(path).margins == drawn.margins


def test_a_drawn_null_world_is_still_null() -> None:
    assert draw(read_world("null"), 3).hazard.strength == 0


def test_an_own_file_holds_only_what_differs(tmp_path: Path) -> None:
    path = changed(tmp_path, shocks={"size": {"value": 3.0, "range": [2, 4], "source": "assumption"}})
    world = read_world(path)
    assert world.shocks.size == 3.0
    assert world.shocks.lead_months == read_world("default").shocks.lead_months


LEAF = {"value": 1.0, "range": [0, 2], "source": "assumption"}


@pytest.mark.parametrize(
    ("sections", "where"),
    [
        ({"shocks": {"sise": LEAF}}, r"mine\.yaml\.shocks\.sise: found an unknown key"),
        ({"shock": {"size": LEAF}}, r"mine\.yaml\.shock: found an unknown key"),
        ({"shocks": {"size": LEAF | {"value": 9}}}, r"shocks\.size\.value: found 9, range \[0.0, 2.0\]"),
        ({"shocks": {"size": LEAF | {"range": [0]}}}, r"shocks\.size\.value: found 1, range \[0.0\]"),
        ({"shocks": {"size": LEAF | {"source": " "}}}, r"shocks\.size\.source: found nothing"),
        ({"shocks": {"size": {"value": 1.0, "range": [0, 2]}}}, r"shocks\.size: found no source"),
        ({"shocks": {"size": LEAF | {"value": "much"}}}, r"shocks\.size\.value: found str 'much'"),
        ({"shocks": {"size": LEAF | {"value": float("nan")}}}, r"shocks\.size"),
        ({"weights": {"F-Z": LEAF}}, r"weights\.F-Z: found an unknown key"),
        ({"extends": "mine"}, r"mine\.yaml\.extends"),
        ({"schema": 2}, r"mine\.yaml\.schema"),
    ],
)
def test_a_slip_is_refused_by_the_name_of_its_key(tmp_path: Path, sections: dict[str, object], where: str) -> None:
    with pytest.raises(ConfigError, match=where):
        read_world(changed(tmp_path, **sections))


def test_a_whole_file_must_have_every_key(tmp_path: Path) -> None:
    whole = read_world("default").as_dict()
    del whole["margins"]["roa"]
    path = tmp_path / "whole.yaml"
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"whole\.yaml\.margins\.roa: found nothing"):
        read_world(path)


def test_a_world_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one of default, calm, harsh, null"):
        read_world("defualt")
    with pytest.raises(ConfigError, match=r"gone\.yaml: found FileNotFoundError"):
        read_world(tmp_path / "gone.yaml")
