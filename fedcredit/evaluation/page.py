"""report.json becomes a page that needs nothing but a browser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedcredit.evaluation.figures import FILTERS, facts
from fedcredit.evaluation.incidents import incidents
from fedcredit.evaluation.plots import plots, variant_name


def page(report: Mapping[str, Any]) -> str:
    """The whole of report.html: styles, drawings and tables in one file, no outside address, no script."""
    return _render("report.html", report)


def fragment(report: Mapping[str, Any]) -> str:
    """The same content as one element, for a notebook's output cell."""
    return _render("report_body.html", report)


def _render(template: str, report: Mapping[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    # Names of institutions, groups and methods come from outside: everything is escaped, except our own drawings,
    # which escape the names in them.
    rooms = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    rooms.trim_blocks = rooms.lstrip_blocks = True
    rooms.filters.update(FILTERS)
    drawn = {caption: Markup(svg) for caption, svg in plots(report).items()}  # noqa: S704
    return rooms.get_template(template).render(
        report=report,
        plots=drawn,
        variant_name=variant_name,
        incidents=incidents(report["rounds"]),
        facts=facts(report),
    )
