"""A run becomes the sections on reasons, limits, what members gain, and who approved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedcredit.evaluation.figures import change, lending, points
from server.validation.checks import Check
from server.validation.content import Section, facts, grid
from server.validation.influence import Influence, influence_grids
from server.validation.lineage import OWN, SYNTHETIC
from server.validation.source import Source

HOLDS = {True: "yes", False: "NO", None: "could not be checked"}


def reasons(source: Source, found: Influence | None) -> Section:
    """What a score rests on: over all companies of a table, where one was given."""
    kind = (
        "The model is structured: its factors add up to the score exactly."
        if source.bundle.settings.factors
        else "The model is not structured: contributions come from integrated gradients, whose sums are checked."
    )
    says = [kind, "Reasons of one company are given beside its grade, by indicator, and not in this file."]
    grids, drawings = ((), {}) if found is None else influence_grids(found)
    if found is not None:
        says.append(f"Compared with: {found.typical}. A sum misses its score by at most {found.gap:.4f} in log-odds.")
    missing = ("What weighs most over all companies: it is told where a table is given (--table).",)
    return Section(
        key="reasons",
        title="Reasons",
        says=tuple(says),
        grids=grids,
        drawings=drawings,
        recompute=(f"fedcredit model explain {source.subject} TABLE --runs RUNS",),
        uncovered=(
            *(missing if found is None else ()),
            "Causes: a reason says what the model looked at, not what makes a company default.",
        ),
    )


def limits(source: Source) -> Section:
    """What the model must not be used for, and what is weak about it."""
    name, label = source.settings.data.name, source.bundle.schema.label
    found = [
        "It does not decide. A person decides, and may set the score aside with a reason.",
        "A score or grade of a company is not given to others outside a licensed or filed credit bureau.",
        f"It predicts {label.column} ({label.definition}), over {label.performance_window}, and no other outcome.",
        "A company with empty cells is scored with its coverage told; values outside the ranges are refused.",
    ]
    if name in SYNTHETIC:
        found.append("It was trained on synthetic rows: it must not score a real company.")
    elif name != OWN:
        found.append("It was trained on a public set: other countries, years and companies than yours.")
    if source.bundle.epsilon is None:
        found.append("It was trained without differential privacy: treat the weights as the rows themselves.")
    if not source.bundle.calibration:
        found.append("The bundle has no calibration: its PDs are the network's, at the training rows' default rate.")
    return Section("limits", "Limits of use", says=tuple(found), uncovered=("Limits that only use will show.",))


def gains(source: Source, *, by_institution: bool) -> Section:
    """What each member gains by joining, as the study's report found it."""
    found: Sequence[Mapping[str, Any]] = source.report.get("gain", [])
    if not found or not by_institution:
        why = (
            "no federated arm was set beside the members' own" if not found else "figures by member stay at the member"
        )
        return Section("gains", "What members gain", says=(why[0].upper() + why[1:] + ".",), uncovered=("Gains.",))
    rows = []
    for one in found:
        for against in one["against"]:
            changes = against["changes"]
            told = [change(changes["auc"]), points(changes["bad_rate"]), points(changes["approval_rate"])]
            rows.append([one["institution"], one["verdict"], against["baseline"], *told])
        if not one["against"]:
            rows.append([one["institution"], one["verdict"], one["reason"], "–", "–", "–"])
    head = ["institution", "verdict", "against", "AUC", "bad rate at own approval", "approval at own bad rate"]
    return Section(
        key="gains",
        title="What members gain",
        says=(lending(found[0]), "Means over the study's seeds, from its report; " + str(found[0]["rule"])),
        grids=(grid("Federated minus what the member has without it", head, rows),),
        recompute=("fedcredit study gain RUN",),
        uncovered=("How a gain is shared; no contract is proposed here.",),
    )


def approvals(source: Source, told: Sequence[Sequence[str]], history: Sequence[Sequence[str]]) -> Section:
    """Who signed, over which evidence, and what happened to the model since."""
    grids = []
    if told:
        grids.append(grid("Approvals", ["action", "signed by", "signatures", "evidence sha256", "expires"], told))
    if history:
        grids.append(grid("History", ["number", "when", "what", "version"], history))
    says = () if told else ("Nobody has approved this version.",)
    return Section(
        key="approvals",
        title="Approvals",
        says=(
            *says,
            "An approval signs the digest of the evidence and of the gates. Other figures are other evidence, and "
            "an approval of the earlier one no longer stands for it.",
        ),
        grids=tuple(grids),
        recompute=(f"fedcredit model history {source.subject.name} --runs RUNS",),
        uncovered=("Who those persons are in your organisation, and whether they are independent of the developers.",),
    )


def checked(source: Source, found: Sequence[Check]) -> Section:
    """What was checked before any figure was taken, and how to make the file again."""
    rows = [[one.what, HOLDS[one.holds], one.how] for one in found]
    machine = source.report.get("machine", {})
    return Section(
        key="checks",
        title="How far this file can be trusted",
        says=(
            "Every figure was computed from the scores in the run folder when this file was made; none was copied from "
            "the report, except those of members' gains and the sentences on epsilon.",
            "Whoever can write to the run folder and to the tracking store can change both. Against that there is one "
            "remedy: run the study again, or score the rows with the bundle, and compare.",
        ),
        grids=(
            grid("Checks", ["what", "holds", "how"], rows),
            facts("The machine of the run", {str(key): value for key, value in machine.items()}),
        ),
        recompute=(
            f"fedcredit study run {source.bundle.study}",
            f"fedcredit model score {source.subject} TABLE --runs RUNS",
            f"fedcredit model validate {source.subject} --runs RUNS",
        ),
        uncovered=("An independent implementation: all figures are this program's own.",),
    )
