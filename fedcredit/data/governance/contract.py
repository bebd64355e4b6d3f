"""messages.yaml becomes one contract a message type: which keys leave a node, what each may hold, and its level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

from fedcredit.data.governance.levels import highest
from fedcredit.strict import build

MESSAGES = Path(__file__).with_name("messages.yaml")


@dataclass(frozen=True)
class Rule:
    """What one key may hold; see the head of messages.yaml for each word."""

    level: int
    equals: str | None = None
    words: bool = False
    one_of: tuple[int, ...] = ()
    lo: float | None = None
    hi: float | None = None
    length: int | None = None
    total: str | None = None
    sealed: int | None = None
    optional: bool = False
    private: bool = False

    def level_on(self, rows: int) -> int:
        """The key's level where the rows have level `rows`."""
        return self.level or rows


@dataclass(frozen=True)
class Contract:
    """All that one message type may carry, by record and key; the names of its arrays are the model's."""

    what: str
    config: Mapping[str, Rule] = field(default_factory=dict)
    metrics: Mapping[str, Rule] = field(default_factory=dict)
    arrays: Rule | None = None

    @property
    def records(self) -> dict[str, Mapping[str, Rule]]:
        """The records of plain values."""
        return {name: rules for name, rules in (("config", self.config), ("metrics", self.metrics)) if rules}

    def level_on(self, rows: int) -> int:
        """The level of the message where the rows have level `rows`.

        >>> contracts()["train"].level_on(3), contracts()["query.describe"].level_on(5)
        (3, 2)
        """
        rules = [*self.config.values(), *self.metrics.values(), *([self.arrays] if self.arrays else [])]
        return highest(rule.level_on(rows) for rule in rules)


@dataclass(frozen=True)
class Errors:
    """What an error reply may carry."""

    number: int
    words: tuple[str, ...]


@dataclass(frozen=True)
class _File:
    schema: int
    messages: Mapping[str, Contract]
    errors: Errors


@cache
def contracts() -> Mapping[str, Contract]:
    """The contract of every message type that leaves a node.

    >>> [name for name in contracts() if name.startswith("train")]
    ['train', 'train.personalise', 'train.masked']
    """
    return _file().messages


def errors() -> Errors:
    """The contract of the error reply."""
    return _file().errors


@cache
def _file() -> _File:
    return build(_File, yaml.safe_load(MESSAGES.read_text(encoding="utf-8")), where=MESSAGES.name)
