"""A matplotlib figure becomes an SVG that can stand in any page, whatever the names in it hold."""

from __future__ import annotations

import io
import re
import unicodedata
from contextlib import ExitStack
from html import escape
from typing import Any, Self

INK, PALE = "#333333", "#d9d9d9"
LONGEST_LABEL = 28
# With all four at None matplotlib leaves out the block that holds a date and outside addresses.
NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


class Drawing:
    """One figure and its axes, open inside a `with`.

    A name from outside may hold mathtext, markup or letters that no installed font has. So `say` gives matplotlib a
    stand-in of about the same width to measure and place; the name takes its place, escaped, in the finished SVG,
    where the reader's own fonts draw it.
    """

    def __init__(self, name: str, *, width: float = 6.0, height: float = 4.2) -> None:
        self._name, self._size = name, (width, height)
        self._open = ExitStack()
        self._said: dict[str, str] = {}

    def __enter__(self) -> Self:
        import matplotlib
        from matplotlib.figure import Figure

        settings = {
            "svg.fonttype": "none",
            "svg.hashsalt": self._name,
            "font.family": "DejaVu Sans",  # comes with matplotlib, so that no font is looked for
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": INK,
            "axes.axisbelow": True,
            "legend.frameon": False,
            "text.color": INK,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
        }
        self._open.enter_context(matplotlib.rc_context(settings))
        self.figure: Any = Figure(figsize=self._size, layout="tight")
        self.axes: Any = self.figure.add_subplot()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def say(self, text: str) -> str:
        """The stand-in for a text that came from outside."""
        shown = "".join(letter for letter in str(text) if unicodedata.category(letter)[0] != "C") or "?"
        shown = shown if len(shown) <= LONGEST_LABEL else shown[: LONGEST_LABEL - 1] + "…"
        wide = sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in shown)
        stand_in = f"@{len(self._said)}@".ljust(wide, "n")
        self._said[stand_in] = shown
        return stand_in

    def svg(self, *, title: str) -> str:
        """The finished drawing, without prolog, metadata or ids that two drawings on a page would share."""
        page = io.StringIO()
        self.figure.savefig(page, format="svg", metadata=NO_METADATA, bbox_inches="tight")
        drawn = page.getvalue()
        drawn = drawn[drawn.index("<svg") :]
        drawn = re.sub(r'<g id="[^"]*">', "<g>", drawn)
        drawn = re.sub(r"<!--.*?-->\n?", "", drawn, flags=re.DOTALL)
        drawn = re.sub(r">(@\d+@n*)<", lambda found: f">{escape(self._said[found[1]])}<", drawn)
        label = escape(title, quote=True)
        return drawn.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
