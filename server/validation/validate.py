"""A model becomes its evidence and its validation file: three files of one name in the model's desk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from server.promotion.subject import desk_of
from server.validation.content import Section
from server.validation.evidence import Evidence
from server.validation.lineage import data_facts
from server.validation.markdown import markdown
from server.validation.measured import Asked, Measured, measure
from server.validation.page import document, page
from server.validation.sections import sections
from server.validation.written import evidence_folder, write

__all__ = ["Asked", "Validation", "paths_of", "save", "validate"]


@dataclass(frozen=True)
class Validation:
    """Evidence, and the sections that HTML and Markdown are drawn from."""

    evidence: Evidence
    sections: tuple[Section, ...]


def validate(model: str, *, runs: Path, asked: Asked | None = None) -> Validation:
    """Everything that is known of a model on its judged rows.

    Raises:
        ModelError: there is no such model.
        RunError: its run is gone or was changed, its judged split has no scores, or the champion saw other rows.
        PolicyRefused: the model's desk was edited by hand.
    """
    now = datetime.now(UTC)
    found = measure(model, runs=runs, asked=asked or Asked(), now=now)
    return Validation(_evidence(found, now=now), tuple(sections(found)))


def save(made: Validation, *, runs: Path, out: Path | None = None) -> dict[str, Path]:
    """evidence.json, the page and the Markdown, in the model's desk or in the folder named; JSON last.

    Evidence that says the same as before keeps its bytes, so that an approval of it stands and the page can show it.
    """
    model = made.evidence.model
    paths = paths_of(model["name"], model["bundle_sha256"], runs=runs, out=out)
    path = paths["json"]
    evidence_folder(path.parent)
    evidence = made.evidence.as_made_before(path.read_bytes()) if path.is_file() else made.evidence
    shown = document(evidence, made.sections)
    texts = {"html": page(shown), "md": markdown(shown), "json": evidence.text()}
    return {kind: write(paths[kind], text) for kind, text in texts.items()}


def paths_of(model: str, sha256: str, *, runs: Path, out: Path | None = None) -> dict[str, Path]:
    """Where the three files of a bundle are, or would be, JSON last."""
    folder = out if out is not None else desk_of(model, runs=runs).folder / "evidence"
    return {kind: folder / f"{sha256}.{kind}" for kind in ("html", "md", "json")}


def _evidence(found: Measured, *, now: datetime) -> Evidence:
    subject, champion = found.source.subject, found.champion
    against = None
    if champion is not None:
        version = champion.subject.version or found.desk.champion_version
        against = {"bundle_sha256": champion.bundle.sha256, "version": version}
    return Evidence(
        model={
            "name": subject.name,
            "version": subject.version,
            "bundle_sha256": found.source.bundle.sha256,
            "study": found.source.bundle.study,
        },
        made=now.isoformat(timespec="seconds"),
        data=data_facts(found.source),
        against=against,
        figures=found.figures,
    )
