"""Plain mappings become dataclasses, or the slip is named with its place and its nearest right word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from fedcredit.errors import ConfigError
from fedcredit.strict import build


@dataclass(frozen=True)
class Inner:
    epsilon: float = 1.0
    rounds: int = 3

    def __post_init__(self) -> None:
        if self.epsilon <= 0:
            raise ConfigError("privacy.epsilon", found=str(self.epsilon), expected="above 0")


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    kind: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ()
    maybe: float | None = None
    inners: Mapping[str, Inner] = field(default_factory=dict)
    on: bool = False
    anything: Any = None


def test_nested_groups_lists_and_mappings_are_built() -> None:
    raw = {"name": "x", "inner": {"epsilon": 2}, "names": ["p", "q"], "inners": {"k": {"rounds": 4}}, "maybe": None}
    assert build(Outer, raw, where="s") == Outer("x", Inner(2.0), names=("p", "q"), inners={"k": Inner(rounds=4)})


@pytest.mark.parametrize(
    ("raw", "where", "text"),
    [
        ({"nmae": "x"}, "s", "did you mean 'name'?"),
        ({"name": "x", "inner": {"epsilom": 1}}, "s.inner", "did you mean 'epsilon'?"),
        ({"name": "x", "inners": {"k": {"round": 1}}}, "s.inners.k", "did you mean 'rounds'?"),
        ({"name": "x", "zzz": 1}, "s", "unknown key 'zzz'"),
        ({}, "s", "no name"),
        ({"name": None}, "s.name", "found null, expected text"),
        ({"name": 3}, "s.name", "expected text"),
        ({"name": "x", "inner": None}, "s.inner", "expected a group of settings"),
        ({"name": "x", "inner": [1]}, "s.inner", "expected a group of settings"),
        ({"name": "x", "inner": {"rounds": 3.0}}, "s.inner.rounds", "expected a whole number"),
        ({"name": "x", "inner": {"rounds": True}}, "s.inner.rounds", "expected a whole number"),
        ({"name": "x", "inner": {"rounds": "3"}}, "s.inner.rounds", "expected a whole number"),
        ({"name": "x", "inner": {"epsilon": "3"}}, "s.inner.epsilon", "expected a number"),
        ({"name": "x", "inner": {"epsilon": float("nan")}}, "s.inner.epsilon", "expected a number"),
        ({"name": "x", "inner": {"epsilon": 0}}, "s.inner.epsilon", "expected above 0"),
        ({"name": "x", "inners": {"k": {"epsilon": -1}}}, "s.inners.k.epsilon", "expected above 0"),
        ({"name": "x", "kind": "c"}, "s.kind", "one of a, b"),
        ({"name": "x", "kind": ["a"]}, "s.kind", "one of a, b"),
        ({"name": "x", "names": "pq"}, "s.names", "found str 'pq'"),
        ({"name": "x", "names": [1]}, "s.names[0]", "expected text"),
        ({"name": "x", "on": 1}, "s.on", "true or false"),
        ({"name": "x", "maybe": "1"}, "s.maybe", "expected a number"),
        ([], "s", "expected a group of settings"),
        ({3: 4, "name": "x"}, "s", "unknown key '3'"),
    ],
)
def test_a_slip_is_named_with_its_place(raw: Any, where: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(Outer, raw, where="s")
    assert caught.value.where == where
    assert text in str(caught.value)


def test_a_long_value_is_cut_in_the_error() -> None:
    with pytest.raises(ConfigError) as caught:
        build(Outer, {"name": ["x" * 10_000]}, where="s")
    assert len(str(caught.value)) < 300


def test_a_complete_group_takes_no_defaults() -> None:
    with pytest.raises(ConfigError, match="no inner, kind, names"):
        build(Outer, {"name": "x"}, where="s", complete=True)
