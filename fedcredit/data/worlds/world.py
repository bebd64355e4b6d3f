"""A world file becomes checked parameters, each with the range that it may be drawn from and where that comes from.

A validator draws a world that nobody has tuned a model on: `draw(read_world("default"), seed=...)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fedcredit.data.worlds import sections as s
from fedcredit.errors import ConfigError
from fedcredit.strict import build

HERE = Path(__file__).parent
SHIPPED = ("default", "calm", "harsh", "null")
MOST_DEPTH = 3  # worlds that extend worlds


@dataclass(frozen=True)
class Leaf:
    """One parameter: its value, the range that a sealed world draws it from, and the source of both."""

    value: float
    range: tuple[float, ...]
    source: str

    def __post_init__(self) -> None:
        lo, hi = self.range if len(self.range) == 2 else (np.nan, np.nan)
        if not lo <= self.value <= hi:
            raise ConfigError("value", found=f"{self.value:g}, range {list(self.range)}", expected="lo <= value <= hi")
        if not self.source.strip():
            raise ConfigError("source", found="nothing", expected="a publication, a public data set, or assumption")


@dataclass(frozen=True)
class World:
    """The parameters of an economy; each section is described in `sections`, `leaves` has the ranges by dotted name."""

    name: str
    about: str
    population: s.Population
    states: s.States
    hazard: s.Hazard
    weights: Mapping[str, float]
    shocks: s.Shocks
    contagion: s.Contagion
    graph: s.Graph
    activity: s.Activity
    signals: s.Signals
    margins: Mapping[str, s.Margin]
    holders: s.Holders
    records: s.Records
    delivery: s.Delivery
    missing: Mapping[str, float]
    reports: s.Reports
    market: s.Market
    leaves: Mapping[str, Leaf]

    def as_dict(self) -> dict[str, Any]:
        """What `read_world` would read this world from."""
        tree: dict[str, Any] = {"schema": 1, "name": self.name, "about": self.about}
        for name, leaf in self.leaves.items():
            *path, last = name.split(".")
            place = tree
            for step in path:
                place = place.setdefault(step, {})
            place[last] = {"value": leaf.value, "range": list(leaf.range), "source": leaf.source}
        return tree


def read_world(which: str | Path) -> World:
    """The world of a file, or one of those shipped: default, calm, harsh, null.

    A file with `extends: default` holds only what differs.

    Raises:
        ConfigError: a key is unknown or missing, a value is not a number in its range, or a source is not given.

    >>> world = read_world("default")
    >>> world.population.default_rate, world.leaves["population.default_rate"].range
    (0.07, (0.04, 0.1))
    >>> read_world("null").hazard.strength
    0.0
    """
    path = Path(which)
    if not path.suffix:
        if str(which) not in SHIPPED:
            raise ConfigError("world", found=repr(str(which)), expected=f"a .yaml file, or one of {', '.join(SHIPPED)}")
        path = HERE / f"{which}.yaml"
    raw = _read(path, depth=0)
    leaves = dict(_leaves({k: v for k, v in raw.items() if k not in ("name", "about")}, where=path.name, prefix=""))
    return _build(leaves, name=str(raw.get("name", path.stem)), about=str(raw.get("about", "")), where=path.name)


def draw(world: World, seed: int) -> World:
    """The same world with every parameter drawn evenly from its range; the same seed draws the same world.

    >>> one, other = (draw(read_world("default"), seed) for seed in (1, 2))
    >>> one.hazard.levels != other.hazard.levels
    True
    """
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(99,))))
    drawn = {
        name: replace(world.leaves[name], value=round(_even(rng, world.leaves[name]), 6))
        for name in sorted(world.leaves)
    }
    leaves = {name: drawn[name] for name in world.leaves}
    return _build(leaves, name=f"{world.name}, drawn", about=world.about, where=world.name)


def _even(rng: np.random.Generator, leaf: Leaf) -> float:
    lo, hi = leaf.range
    return float(rng.uniform(lo, hi))


def _read(path: Path, *, depth: int) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
        raise ConfigError(path.name, found=type(fault).__name__, expected="a readable YAML file") from fault
    if not isinstance(raw, dict) or raw.pop("schema", None) != 1:
        raise ConfigError(f"{path.name}.schema", found="another file", expected="a world file with schema: 1")
    raw.pop("settings", None)  # written beside the parameters of an economy's own world.yaml
    base = raw.pop("extends", None)
    if base is None:
        return raw
    if depth == MOST_DEPTH or not isinstance(base, str):
        raise ConfigError(f"{path.name}.extends", found=repr(base)[:80], expected="the name of another world")
    file = path.parent / f"{base}.yaml"
    below = _read(file if file.is_file() else HERE / f"{base}.yaml", depth=depth + 1)
    merged: dict[str, Any] = _merge(below, raw, where=path.name)
    return merged


def _merge(base: Any, other: Any, *, where: str) -> Any:
    """`other` over `base`; a key that the base does not have is a slip."""
    if not isinstance(base, dict) or not isinstance(other, dict) or "value" in other:
        return other
    for key in other:
        if key not in base:
            raise ConfigError(f"{where}.{key}", found="an unknown key", expected=f"one of {', '.join(base)}")
    return base | {key: _merge(base[key], value, where=f"{where}.{key}") for key, value in other.items()}


def _leaves(tree: Mapping[str, Any], *, where: str, prefix: str) -> Iterator[tuple[str, Leaf]]:
    for key, item in tree.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping) and "value" not in item:
            yield from _leaves(item, where=where, prefix=f"{name}.")
        else:
            yield name, build(Leaf, item, where=f"{where}.{name}", complete=True)


def _build(leaves: Mapping[str, Leaf], *, name: str, about: str, where: str) -> World:
    tree: dict[str, Any] = {}
    for dotted, leaf in leaves.items():
        *path, last = dotted.split(".")
        place = tree
        for step in path:
            place = place.setdefault(step, {})
        place[last] = leaf.value
    for field in fields(World):
        if field.name in ("weights", "margins", "missing"):
            _same_keys(tree.get(field.name, {}), s.NAMES[field.name], where=f"{where}.{field.name}")
    parsed = build(World, tree | {"name": name, "about": about, "leaves": {}}, where=where)
    return replace(parsed, leaves=dict(leaves))


def _same_keys(found: Mapping[str, Any], expected: tuple[str, ...], *, where: str) -> None:
    for key in found:
        if key not in expected:
            raise ConfigError(f"{where}.{key}", found="an unknown key", expected=f"one of {', '.join(expected)}")
    for key in expected:
        if key not in found:
            raise ConfigError(f"{where}.{key}", found="nothing", expected="value, range and source")
