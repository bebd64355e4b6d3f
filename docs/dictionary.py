"""sources.yaml and indicators.yaml become docs/dictionary.md: `python docs/dictionary.py`; a test compares them."""

from __future__ import annotations

from pathlib import Path

from fedcredit.data.indicators import Indicator, indicators
from fedcredit.data.sources import Field, Source, sources

PAGE = Path(__file__).with_name("dictionary.md")
HEAD = """# The dictionary: 18 sources, 28 indicators

Every institution reads its tables by the same words. This page is made of `fedcredit/data/sources.yaml` and
`fedcredit/data/indicators.yaml` by `python docs/dictionary.py`; do not edit it. `fedcredit data dictionary --json`
prints the same for a program.

Levels are those of JR/T 0197-2020, 1 (public) to 5 (most harmful), as we propose them: a data owner may raise one.
Nothing of level 4 or above leaves an institution except inside a charged, private aggregate
([governance](governance.md)). None of the ranges or formulas is a legal standard.

## Indicators

Three dimensions, nine factors: 12 of financial health, 9 of operating activity, 7 of growth potential. Better is up,
down, or inside an inner range. A value outside its range is left empty and counted, never clipped.
"""
FREQUENCY = {"D": "day", "W": "week", "M": "month", "Q": "quarter", "Y": "year"}


def render() -> str:
    """The page."""
    rows = "\n".join(map(_indicator, indicators()))
    head = (
        "| factor | indicator | 中文 | meaning | range | better | sources | level |\n|---|---|---|---|---|---|---|---|"
    )
    return "\n".join([HEAD, head, rows, "", "## Sources", "", *map(_source, sources())]).rstrip() + "\n"


def _indicator(row: Indicator) -> str:
    better = row.direction if row.optimum is None else f"{row.optimum[0]:g} to {row.optimum[1]:g}"
    known = f"{row.formula.replace('|', chr(92) + '|')} ({row.unit})"
    return (
        f"| {row.factor} | `{row.id}` | {row.zh} | {known} | {row.lo:g} to {row.hi:g} | {better} "
        f"| {', '.join(row.sources)} | {row.level} |"
    )


def _source(one: Source) -> str:
    rows = "\n".join(map(_field, one.fields[3:]))
    return (
        f"### {one.id} {one.zh} · {one.en}\n\n"
        f"Table `{one.table}`, held by {one.holder['zh']} ({one.holder['en']}), a row each {FREQUENCY[one.frequency]}, "
        f"known about {one.delay_days} days later; level {one.level}. A fact is named by {', '.join(one.key)}.\n\n"
        f"| column | type | range | level |\n|---|---|---|---|\n{rows}\n"
    )


def _field(column: Field) -> str:
    limits = ", ".join(column.levels[:8]) + (" ..." if len(column.levels) > 8 else "")
    if column.lo is not None and column.hi is not None:
        limits = f"{column.lo:g} to {column.hi:g}"
    kind = column.type + (", may be missing" if column.nullable else "")
    return f"| `{column.name}` | {kind} | {limits} | {column.level} |"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
