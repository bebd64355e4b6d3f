"""law.yaml becomes the table that says which text asks what, where it is met, and what is not covered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml

from fedcredit.strict import build
from server.validation.content import Grid, Section, grid

NO_ADVICE = (
    "This is no legal advice. Engineers wrote it, in their words, from memory and from secondary sources; nothing was "
    "held against an official text. Your counsel and your validator decide."
)
STATUS = {
    "read": "Read about in secondary sources, not in the original.",
    "recalled": "Recalled, not checked.",
}


@dataclass(frozen=True)
class Asked:
    """One requirement in short, the sections that answer it, and what does not."""

    asks: str
    sections: tuple[str, ...]
    met: str
    uncovered: str


@dataclass(frozen=True)
class Text:
    """One law, standard or piece of guidance, and how we know of it."""

    title: str
    status: Literal["read", "recalled"]
    rows: tuple[Asked, ...]
    note: str = ""


@cache
def texts() -> Mapping[str, Text]:
    """Every text by its key.

    >>> texts()["jrt_0197"].status
    'read'
    """
    raw = yaml.safe_load(Path(__file__).with_name("law.yaml").read_text(encoding="utf-8"))
    return {key: build(Text, one, where=f"law.yaml, {key}") for key, one in raw.items()}


def law_section(titles: Mapping[str, str]) -> Section:
    """The mapping, with the titles of the sections that this file has."""
    says = tuple(f"{one.title}. {STATUS[one.status]} {one.note}".strip() for one in texts().values())
    return Section(
        key="law",
        title="Which text asks what",
        says=(NO_ADVICE, *says),
        grids=tuple(_grid(one, titles) for one in texts().values()),
        uncovered=(
            "Texts that are not named here, among them CRR articles 174 to 185 for internal models, the rules of your "
            "own supervisor, labour, tax and bank secrecy, and anything that changed after this program was written.",
        ),
    )


def _grid(text: Text, titles: Mapping[str, str]) -> Grid:
    rows = [[one.asks, "; ".join(titles[key] for key in one.sections), one.met, one.uncovered] for one in text.rows]
    return grid(text.title, ["Asks, in short", "Sections", "Met by", "Not covered"], rows)
