"""A run becomes the section on who trained, and how rows and defaults are spread over institutions."""

from __future__ import annotations

from fedcredit.evaluation.figures import share
from server.validation.cells import SMALLEST, cells, companies
from server.validation.content import Grid, Section, facts, grid
from server.validation.source import Scores, Source


def partition(source: Source, *, by_institution: bool) -> Section:
    """Who trained, and how rows and defaults are spread."""
    how, parts = source.settings.partition, {name: source.scores(name) for name in ("validation", "test")}
    whole = [
        [name, len(one), companies(one.company), int(one.y.sum()), share(float(one.y.mean()))]
        for name, one in parts.items()
        if one is not None and companies(one.company) >= SMALLEST
    ]
    head = ["rows", "companies", "defaults", "default rate"]
    grids = [grid("Judged rows by split", ["split", *head], whole)]
    judged = source.scores(source.headline)
    if by_institution and judged is not None:
        grids.append(_institutions(judged))
    words = "the table's own institution column" if how.by == "none" else f"{how.by}, n={how.n}, seed {how.seed}"
    history = source.facts.get("history", [])
    quarantined = sum(len(one.get("quarantined", {})) for one in history)
    missing = sum(len(one.get("missing", [])) for one in history)
    trained = {
        "Institutions that trained": ", ".join(source.bundle.roster) if by_institution else len(source.bundle.roster),
        "Rows became institutions by": words,
        "Rounds": len(history),
        "Replies set aside by the admission gate": quarantined,
        "Replies that came too late or not at all": missing,
        "Engine": source.settings.federation.engine,
        "Strategy": str(source.settings.recipe_for("federated", is_private=True).strategy.get("_target_", "–")),
    }
    return Section(
        key="partition",
        title="Partition and training",
        says=(
            "Institutions keep their rows; the model's updates travel. The study makes its choices on validation data; "
            f"this file judges split {source.headline}.",
        ),
        grids=(facts("Training", trained), *grids),
        recompute=("fedcredit study show RUN",),
        uncovered=(
            "Training rows by institution: a run keeps no scores of them.",
            *(() if by_institution else ("Rows and rates by institution: competitors would read them here.",)),
            "Companies that several institutions know, beyond the sentence on epsilon.",
        ),
    )


def _institutions(scores: Scores) -> Grid:
    rows = [
        [name, int(inside.sum()), companies(scores.company[inside]), int(scores.y[inside].sum()),
         share(float(scores.y[inside].mean()))]
        for name, inside in cells(scores.institution, scores.company).items()
    ]  # fmt: skip
    return grid(
        f"Split {scores.split} by institution",
        ["institution", "rows", "companies", "defaults", "default rate"],
        rows,
    )
