"""Predictions and facts of all units become the run's report, its predictions file and the lines a person reads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.charged import charge_of
from experiments.folder import RunFolder, read_settings
from experiments.trust import trust_mode
from experiments.units import Unit, metrics_under_privacy, noise_of
from fedcredit.data.windows import Windows, digest
from fedcredit.errors import RunError
from fedcredit.evaluation.gain import Gain, gains
from fedcredit.evaluation.panel import read_panel
from fedcredit.evaluation.report import Prevalence, Report, Spent, Target, Terms, build, rates
from fedcredit.settings import StudySettings
from fedcredit.strict import build as build_strictly

Facts = Mapping[Unit, Mapping[str, Any]]
SEEN = {
    "masked": "one masked sum of all updates a round",
    "bucketed": "a masked sum of each bucket of institutions a round",
    "open": "every institution's update",
}
NOT_CHARGED = (
    "Public or synthetic data: tuning and repeated runs are not charged to any ledger; what they spend is stated."
)


def judge(
    settings: StudySettings,
    windows: Windows,
    predictions: pd.DataFrame,
    facts: Facts,
    *,
    folder: RunFolder,
    timing: Mapping[str, float | None],
    origin: Mapping[str, Any],
) -> Report:
    """Write predictions.parquet and the three forms of the report into the run's folder."""
    table = folder.path / "predictions.parquet"
    draft = table.with_name(".predictions.parquet")
    predictions.to_parquet(draft, index=False)
    draft.replace(table)
    prevalence = prevalence_of(settings, windows)
    data = build(
        predictions,
        study=settings.study,
        dataset=settings.data.name,
        seeds=settings.seeds,
        timing=timing,
        spent=_spent(facts, settings),
        privacy=_sentences(settings, facts, folder=folder, institutions=len(windows.institutions)),
        targets=[build_strictly(Target, raw, where="targets") for raw in settings.targets],
        rounds=_rounds(settings, facts),
        splits=_splits(settings),
        judge=settings.evaluation.judge,
        outside_mean=settings.evaluation.outside_mean,
        federated=_asked_for(settings),
        prevalence=prevalence,
        terms=_terms(settings),
        predictions_sha256=hashlib.sha256(table.read_bytes()).hexdigest(),
        draws=settings.evaluation.draws,
        schema_sha256=windows.schema_sha256,
        data_sha256=digest(windows),
        **origin,
    )
    more = {"question": settings.question, "best_alone": _chosen(facts), "prevalence": asdict(prevalence)}
    report = Report(data | more, folder.path)
    report.write(folder.path)
    return report


def prevalence_of(settings: StudySettings, windows: Windows) -> Prevalence:
    """Default rates that the models learnt from, and those that probabilities are shifted to before they are judged.

    The target is a given rate, else the validation split's; never the scored split's own, so where validation is
    scored too it is the training rate and nothing is shifted.
    """
    train, held, given = windows.part("train"), windows.part("validation"), settings.evaluation.target_rate
    learnt = rates(train.y, train.institution)
    if given is not None:
        return Prevalence(learnt, {"all": given})
    is_scored = "validation" in settings.evaluation.headline
    return Prevalence(learnt, learnt if is_scored or not len(held) else rates(held.y, held.institution))


def replay_gain(
    folder: Path,
    *,
    institution: str | None = None,
    average_loan: float | None = None,
    lgd: float | None = None,
    approval_rate: float | None = None,
) -> list[Gain]:
    """The gain of a finished run, recomputed from its own predictions; other money terms may be given."""
    settings, report = read_settings(folder), Report.read(folder)
    kept = folder / "predictions.parquet"
    if not kept.exists() or hashlib.sha256(kept.read_bytes()).hexdigest() != report.data["predictions_sha256"]:
        raise RunError(str(kept), found="another file than was judged", expected="the run's own predictions")
    usual = _terms(settings)
    terms = Terms(
        approval_rate=usual.approval_rate if approval_rate is None else approval_rate,
        average_loan=usual.average_loan if average_loan is None else average_loan,
        lgd=usual.lgd if lgd is None else lgd,
        currency=usual.currency,
    )
    return gains(
        read_panel(report.predictions, _splits(settings)[0]),
        federated=_asked_for(settings),
        institutions=[institution] if institution else None,
        terms=terms,
        prevalence=Prevalence(**report.data["prevalence"]),
        draws=settings.evaluation.draws,
        config_sha256=report.data["config_sha256"],
        predictions_sha256=report.data["predictions_sha256"],
    )


def summary(report: Report) -> str:
    """What a study prints: the headline comparisons, the targets, the verdicts, and where the report is."""
    lines, rows = [], report.headline.to_dict("records")
    private = {(row["model"], row["noise"]) for row in rows if row["arm"] == "federated" and row["noise"] != "none"}
    for row in rows:
        privacy = "no DP" if pd.isna(row["epsilon"]) else f"eps {row['epsilon']:g}"
        interval = f"{row['point']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" if pd.notna(row["point"]) else "too few"
        about = f"  {row['model']}, noise: {row['noise']}" if len(private) > 1 else ""
        lines.append(f"{row['name']:30} {row['method']:12} {row['split']:16} {privacy:8} {interval}{about}")
    for target in report.data["targets"]:
        outcome = "not measured in this run"
        if target["measured"] is not None:
            outcome = f"measured {target['measured']:.4g}, {'met' if target['met'] else 'NOT MET'}"
        lines.append(f"target {target['name']}: asked {target['asked']}, {outcome}")
    lines += [f"{gain['institution']}: {gain['verdict']}" for gain in report.gain]
    lines.append(f"report: {report.folder}/report.html" if report.folder else "")
    return "\n".join(lines)


def _splits(settings: StudySettings) -> list[str]:
    """The headline split first; the plain splits after it."""
    return list(dict.fromkeys([settings.evaluation.headline, *settings.evaluation.splits]))


def _asked_for(settings: StudySettings) -> dict[str, object]:
    """The federated variant that a gain is about: the strictest epsilon, and the method that the study names."""
    return {"method": settings.gain.method} if settings.gain.method else {}


def _terms(settings: StudySettings) -> Terms:
    asked = settings.gain
    return Terms(asked.approval_rate, asked.average_loan, asked.lgd, asked.currency)


def _spent(facts: Facts, settings: StudySettings) -> list[Spent]:
    found = []
    for unit, fact in facts.items():
        if fact["epsilon"]:
            largest, delta = max(fact["epsilon"].values()), float(fact["delta"])
            found.append(
                Spent(
                    unit.arm,
                    unit.epsilon,
                    largest,
                    delta,
                    institution=unit.institution or None,
                    left_out=unit.left_out or None,
                    noise=noise_of(unit, settings),
                )
            )
    return found


def _sentences(settings: StudySettings, facts: Facts, *, folder: RunFolder, institutions: int) -> list[str]:
    """Epsilon of one run and of the whole study, in words."""
    found = []
    private = {unit: max(fact["epsilon"].values()) for unit, fact in facts.items() if fact["epsilon"]}
    for epsilon in (e for e in settings.privacy.epsilons if e is not None):
        of_target = {u: spent for u, spent in private.items() if u.arm == "federated" and u.epsilon == epsilon}
        for noise in sorted({noise_of(unit, settings) for unit in of_target}):
            runs = [spent for unit, spent in of_target.items() if noise_of(unit, settings) == noise]
            found.append(
                f"Target epsilon {epsilon:g}: one federated run spent at most {max(runs):.3f} at each institution "
                f"(unit: {settings.privacy.unit}, {noise} noise, PRV accountant over all its rounds)."
            )
    seen = {
        trust_mode(
            settings,
            settings.recipe_for("federated", is_private=unit.epsilon is not None, method=unit.method),
            institutions=institutions - bool(unit.left_out),
        )
        for unit in facts
        if unit.arm == "federated"
    }
    found += [f"The platform saw of the federated arm: {SEEN[mode]} (federation.trust_mode)." for mode in sorted(seen)]
    is_public = settings.data.name != "table"
    if private:
        charge = charge_of(folder, study=settings.study, is_public=is_public, institutions=institutions)
        found.append(
            f"The whole study, with its seeds, private arms and the selection among them, "
            f"{'would have spent' if is_public else 'spent'} {charge.study:.2f} at the institution where that is most "
            f"({len(private)} private models composed by PLD)."
        )
        if charge.lifetime is not None:
            found.append(
                f"With every earlier study on this machine, those companies have spent {charge.lifetime:.2f} in all "
                "(fedcredit node ledger); deleting a run gives nothing back."
            )
        if any(unit.epsilon is None and unit.arm in ("federated", "pooled") for unit in facts):
            found.append("The arms without privacy have no bound: epsilon of the study with them is infinite.")
        if institutions > 1:
            found.append(
                f"A company known to several institutions bears more: of one that all {institutions} know, "
                f"{charge.everywhere:.2f}, if all of them do the same."
            )
        found.append(f"Metrics while training under privacy: {metrics_under_privacy(settings)}.")
    if is_public:
        found.append(NOT_CHARGED)
    return found


def _rounds(settings: StudySettings, facts: Facts) -> list[dict[str, Any]]:
    """The federated rounds that a report draws."""
    return [
        {
            "arm": unit.arm,
            "method": settings.recipe_for(unit.arm, is_private=unit.epsilon is not None, method=unit.method).method,
            "epsilon": unit.epsilon,
            "seed": unit.seed,
            "round": record["round"],
            "loss": record["loss"],
            "auc": record["validation_auc"],
            "quarantined": record["quarantined"],
            "missing": record["missing"],
        }
        for unit, fact in facts.items()
        if unit.arm == "federated" and not unit.left_out
        for record in fact["history"]
    ]


def _chosen(facts: Facts) -> dict[str, str]:
    return {unit.institution: fact["note"] for unit, fact in facts.items() if unit.arm == "best_alone"}
