"""A run becomes the sections on its purpose, its data and how the rows are spread over institutions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from fedcredit.data.datasets import catalogue
from fedcredit.evaluation.figures import share
from fedcredit.models.calibrated import told
from server.validation.cells import SMALLEST, cells, companies
from server.validation.content import Grid, Section, facts, grid
from server.validation.source import Scores, Source

SYNTHETIC = ("economy", "hub")
OWN = "table"
NO_CALIBRATION = "none: what the network says is what is given out"
LEVELS = {
    1: "no harm if disclosed",
    2: "little harm, to a company or person",
    3: "harm to a company or person",
    4: "serious harm",
    5: "harm to national security",
}
ACCEPTED_ONLY = (
    "LABELS ARE OF ACCEPTED COMPANIES ONLY. Nobody knows how the refused would have paid. Every figure in this file is "
    "about companies that an earlier policy let in; --applicants adds an evaluation that is corrected for it, under "
    "assumptions that it states."
)
NOT_SAID = (
    "The table does not say whether its rows are all applicants or only accepted ones. Take every figure as one about "
    "accepted companies until its owner says otherwise (label.acceptance in table.json)."
)
ALL_OF_THEM = "The table says that it holds all companies, refused ones too: no correction for acceptance is needed."


def data_facts(source: Source) -> dict[str, Any]:
    """The `data` of the evidence."""
    scores, label = source.scores(source.headline), source.bundle.schema.label
    return {
        "dataset": source.settings.data.name,
        "split": source.headline,
        "rows": len(scores) if scores else 0,
        "defaults": int(scores.y.sum()) if scores else 0,
        "label_definition": label.definition,
        "acceptance": label.acceptance,
        "synthetic": source.settings.data.name in SYNTHETIC,
    }


def purpose(source: Source) -> Section:
    """What the model is for, what it is, and what it must not be used for."""
    bundle, settings = source.bundle, source.settings
    numbers = sum(tensor.numel() for tensor in bundle.weights.values())
    inputs = f"{bundle.time} period{'s' if bundle.time > 1 else ''} of {len(bundle.inputs)} inputs"
    return Section(
        key="purpose",
        title="Purpose",
        says=(
            "The model gives a probability that a company defaults, for a credit officer who decides. "
            f"The study behind it asked: {settings.question or 'nothing in particular (no question is stated)'}",
        ),
        grids=(
            facts(
                "The model",
                {
                    "Registered as": str(source.subject),
                    "Model version in scores": bundle.version,
                    "Bundle sha256": bundle.sha256,
                    "Study": bundle.study,
                    "Kind": f"{bundle.settings.kind}, {numbers:,} numbers, {inputs}",
                    "Predicts": f"{bundle.schema.label.column}: {bundle.schema.label.definition}",
                    "Performance window": bundle.schema.label.performance_window,
                    "Cure, censoring": f"{bundle.schema.label.cure}; {bundle.schema.label.censoring}",
                    "Calibration in the bundle": "; ".join(map(told, bundle.calibration)) or NO_CALIBRATION,
                    "Scale": bundle.scale or "none named; grades in this file are the master scale's",
                },
            ),
        ),
        recompute=(f"fedcredit model show {source.subject} --runs RUNS",),
        uncovered=("The owner of the model, its tier in your inventory, and the process around the score.",),
    )


def lineage(source: Source) -> Section:
    """Where the rows come from, what each input's level is, and the digests that pin all of it."""
    bundle, label, name = source.bundle, source.bundle.schema.label, source.settings.data.name
    levels = Counter(column.level for column in bundle.schema.columns)
    columns = [
        [column.name, column.kind, column.unit or "–", column.level, "yes" if column.nullable else "no"]
        for column in bundle.schema.columns
    ]
    acceptance = {"accepted": ACCEPTED_ONLY, "all": ALL_OF_THEM}.get(label.acceptance, NOT_SAID)
    return Section(
        key="lineage",
        title="Data and lineage",
        says=(_origin(name), acceptance),
        grids=(
            facts("The data", _data(source)),
            grid(
                "Inputs by level of JR/T 0197-2020",
                ["level", "inputs", "harm if disclosed"],
                [[level, levels[level], LEVELS[level]] for level in sorted(levels)],
            ),
            grid("Columns", ["column", "kind", "unit", "level", "may be empty"], columns),
            facts("Digests", _digests(source)),
        ),
        recompute=("sha256sum RUN/predictions.parquet", "fedcredit data dictionary"),
        uncovered=_uncovered(name),
    )


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
            "Institutions keep their rows; the model's updates travel. Choices used validation data only; the judged "
            f"split ({source.headline}) was scored once.",
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


def _origin(name: str) -> str:
    if name in SYNTHETIC:
        return (
            "THE ROWS ARE SYNTHETIC. They were drawn by a generator with known causes of default. The figures show "
            "that the method works; they are no promise for any portfolio."
        )
    if name == OWN:
        return "The rows are an institution's own table; this file holds counts and figures of it, and no company."
    one = catalogue()[name]
    return f"Public data: {one.title}. {one.notes}".strip()


def _data(source: Source) -> Mapping[str, object]:
    name, label = source.settings.data.name, source.bundle.schema.label
    told: dict[str, object] = {
        "Data set": name,
        "Label": f"{label.column}: {label.definition}",
        "Acceptance": label.acceptance,
        "Periods in a window": source.bundle.time,
    }
    if name in catalogue():
        one = catalogue()[name]
        told |= {"Licence": one.licence, "Unit": one.unit, "Splits": one.splits, "Upstream commit": one.commit}
        told |= {f"Not used, it leaks: {column}": why for column, why in one.traps.items()}
    if name == "economy":
        told["Generator"] = (
            f"seed {source.settings.data.economy.seed}, {source.settings.data.economy.companies} companies"
        )
    return told


def _digests(source: Source) -> Mapping[str, object]:
    names = ("config_sha256", "git_sha", "schema_sha256", "data_sha256", "predictions_sha256")
    told: dict[str, object] = {name: source.report.get(name) or "–" for name in names}
    return told | {"bundle_sha256": source.bundle.sha256, "unit": source.unit, "run": source.run.resolve().name}


def _uncovered(name: str) -> tuple[str, ...]:
    if name in SYNTHETIC:
        return ("Real companies: nothing here was learnt from one.",)
    if name == OWN:
        return ("How the owner collected the rows, and on what legal basis.",)
    return ("Whether a public set of other years and another country resembles your portfolio.",)
