"""What was measured becomes the sections of the validation file, in their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from server.validation.acceptance import acceptance_section
from server.validation.against import champion_section
from server.validation.calibration import calibration_section
from server.validation.content import Section
from server.validation.counted import counted_section
from server.validation.fairness import fairness_section
from server.validation.grades import grades
from server.validation.indicators import indicators_section
from server.validation.law import law_section
from server.validation.lineage import lineage, purpose
from server.validation.measured import Measured
from server.validation.migration import migration_section
from server.validation.overrides import overrides_section
from server.validation.partition import partition
from server.validation.performance import lending, performance
from server.validation.privacy import privacy
from server.validation.source import Scores
from server.validation.stability import stability
from server.validation.use import approvals, checked, gains, limits, reasons
from server.validation.vintages import vintages_section

# Each section by the key that law.yaml names.
SECTIONS: Mapping[str, Callable[[Measured], Section]] = {
    "purpose": lambda m: purpose(m.source),
    "lineage": lambda m: lineage(m.source),
    "partition": lambda m: partition(m.source, by_institution=m.by_institution),
    "privacy": lambda m: privacy(m.source, m.figures),
    "performance": lambda m: performance(m.source, m.figures, m.groups, others=_others(m)),
    "counted": lambda m: counted_section(str(m.source.subject), m.counted),
    "lending": lambda m: lending(m.source, m.figures, others=_others(m)),
    "acceptance": lambda m: acceptance_section(m.source, m.corrected),
    "calibration": lambda m: calibration_section(m.source, m.figures, m.groups),
    "grades": lambda m: grades(m.source),
    "migration": lambda m: migration_section(m.moved),
    "vintages": lambda m: vintages_section(m.scores),
    "stability": lambda m: stability(m.source, m.figures["psi"]),
    "indicators": lambda m: indicators_section(m.source, m.indicators),
    "fairness": lambda m: fairness_section(m.source, m.unfair, m.figures["fairness_gap"], hides=not m.by_institution),
    "reasons": lambda m: reasons(m.source, m.influence),
    "limits": lambda m: limits(m.source),
    "gains": lambda m: gains(m.source, by_institution=m.by_institution),
    "overrides": lambda m: overrides_section(m.source, m.overridden),
    "champion": lambda m: champion_section(m.source, m.champion, m.theirs, m.figures["delta_auc"]),
    "approvals": lambda m: approvals(m.source, m.desk.approvals, m.desk.history),
    "checks": lambda m: checked(m.source, m.checks),
}


def sections(measured: Measured) -> list[Section]:
    """All of them, and last the table of which text asks what."""
    found = [make(measured) for make in SECTIONS.values()]
    titles = dict(zip(SECTIONS, (one.title for one in found), strict=True))
    return [*found, law_section(titles)]


def _others(measured: Measured) -> dict[str, Scores]:
    return {"champion": measured.theirs} if measured.theirs is not None else {}
