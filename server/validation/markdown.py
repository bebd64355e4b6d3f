"""Sections become Markdown that pandoc turns into a PDF: front matter, headings, narrow tables, no drawings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from server.validation.content import Grid, Section
from server.validation.page import Document


def markdown(shown: Document) -> str:
    """The whole file. Drawings are left to the page; every figure of theirs stands in a table here."""
    parts = [
        "\n".join(
            [
                "---",
                f"title: {json.dumps(shown.title, ensure_ascii=False)}",
                "lang: en",
                "geometry: margin=18mm",
                "fontsize: 10pt",
                "---",
            ]
        ),
        _text(shown.subtitle),
        "## Key figures",
        _table(["Figure", "Value [95 %]", "How"], shown.key, numbers=(False, True, False)),
    ]
    for number, section in enumerate(shown.sections, start=1):
        parts += _section(section, number=number)
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(section: Section, *, number: int) -> list[str]:
    parts = [f"## {number}. {_text(section.title)}", *(_text(sentence) for sentence in section.says)]
    for one in section.grids:
        if one.rows:
            parts += [f"### {_text(one.caption)}", _grid(one)]
    if section.recompute:
        parts += ["**To compute it again:**", "\n".join(["```console", *section.recompute, "```"])]
    if section.uncovered:
        parts += ["**Not covered:**", "\n".join(f"- {_text(sentence)}" for sentence in section.uncovered)]
    return parts


def _grid(one: Grid) -> str:
    head = one.head if any(one.head) else ("Fact", "Value")
    return _table(head, one.rows, numbers=one.numbers)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[bool]) -> str:
    rule = "|" + "|".join("--:" if number else "---" for number in numbers) + "|"
    lines = ["| " + " | ".join(_text(cell) for cell in row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], rule, *lines[1:]])


def _text(text: str) -> str:
    """Text from outside, as text: no markup, no new line, no end of the cell."""
    plain = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$#])", r"\\\1", plain)
