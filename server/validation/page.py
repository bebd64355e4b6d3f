"""Sections become one HTML page that needs nothing but a browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from server.validation.content import Section, told
from server.validation.evidence import Evidence

TITLES = {
    "auc": "AUC",
    "delta_auc": "AUC, candidate - champion",
    "gini": "Gini",
    "ks": "KS",
    "ece": "Expected calibration error",
    "brier_skill": "Brier skill",
    "observed_expected": "Observed / expected defaults",
    "slope": "Calibration slope",
    "jeffreys_p": "Smallest grade p",
    "psi": "Population stability index",
    "fairness_gap": "Largest gap between groups",
    "epsilon": "Epsilon spent",
    "epsilon_budget": "Epsilon allowed",
    "membership_advantage": "Membership advantage",
    "data_age_hours": "Age of the data, hours",
    "quarantined": "Replies set aside in training",
    "bad_rate_at_approval": "Bad rate at fixed approval",
}


@dataclass(frozen=True)
class Document:
    """A validation file before it is drawn: title, line below it, key figures, sections."""

    title: str
    subtitle: str
    key: tuple[tuple[str, str, str], ...]
    sections: tuple[Section, ...]


def document(evidence: Evidence, sections: Sequence[Section]) -> Document:
    """The parts that HTML and Markdown share."""
    model, data = evidence.model, evidence.data
    version = f"version {model['version']}" if model["version"] is not None else "unregistered"
    synthetic = ", SYNTHETIC" if data["synthetic"] else ""
    subtitle = (
        f"bundle {model['bundle_sha256']} · made {evidence.made} · data {data['dataset']}{synthetic}, "
        f"split {data['split']}: {data['rows']:,} rows, {data['defaults']:,} defaults · "
        "cells of fewer than 10 companies are put together · no legal advice"
    )
    key = tuple((TITLES.get(name, name), told(one), one.about) for name, one in evidence.figures.items())
    return Document(f"Validation of {model['name']}, {version}", subtitle, key, tuple(sections))


def page(shown: Document) -> str:
    """The whole HTML: styles, drawings and tables in one file, no outside address, no script."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    # Names of institutions, columns and sectors come from outside: all is escaped but our own drawings, which escape
    # the names in them.
    rooms = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    rooms.trim_blocks = rooms.lstrip_blocks = True
    rooms.filters["drawing"] = lambda svg: Markup(svg)  # noqa: S704
    return rooms.get_template("page.html").render(
        title=shown.title, subtitle=shown.subtitle, key=shown.key, sections=shown.sections
    )
