"""A run's predictions and facts become its report: report.json, and the object that a notebook draws."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fedcredit.errors import RunError
from fedcredit.evaluation.calibration import Prevalence, rates
from fedcredit.evaluation.changes import Terms
from fedcredit.evaluation.comparisons import FIELDS as COMPARISON_FIELDS
from fedcredit.evaluation.comparisons import Judge, comparisons, panel_comparisons
from fedcredit.evaluation.curves import curves
from fedcredit.evaluation.gain import gains
from fedcredit.evaluation.intervals import DRAWS
from fedcredit.evaluation.panel import read_panel
from fedcredit.evaluation.plain import plain
from fedcredit.evaluation.rows import FIELDS as ROW_FIELDS
from fedcredit.evaluation.rows import Spent, panel_rows, rows, with_validation_rates
from fedcredit.evaluation.targets import Target

__all__ = [
    "Prevalence",
    "Report",
    "Spent",
    "Target",
    "Terms",
    "build",
    "comparisons",
    "gains",
    "rates",
    "read_panel",
    "rows",
]

SCHEMA = 1


def build(
    predictions: pd.DataFrame,
    *,
    study: str,
    dataset: str,
    config_sha256: str,
    git_sha: str,
    machine: Mapping[str, Any],
    seeds: Sequence[int],
    timing: Mapping[str, float | None],
    spent: Sequence[Spent] = (),
    privacy: Sequence[str] = (),
    targets: Sequence[Target | Mapping[str, Any]] = (),
    rounds: Sequence[Mapping[str, Any]] = (),
    splits: Sequence[str] = ("test",),
    judge: Judge = "whole",
    outside_mean: Sequence[str] = (),
    prevalence: Prevalence | None = None,
    federated: Mapping[str, object] | None = None,
    terms: Terms | None = None,
    predictions_sha256: str = "",
    schema_sha256: str = "",
    data_sha256: str = "",
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """The content of report.json.

    `schema` (1), `study`, `dataset`, the hashes of the settings, the code, the predictions and the table (its schema,
    its content), `machine`, `seeds`, `splits`, `judge` and `timing` say what ran. `rows` and `comparisons` are the
    figures; `gain` has one entry for each institution, on the first split, and is empty where no federated model ran.
    `targets` are measured on the comparisons (a ready line {name, asked, measured, met} is taken as it is), `privacy`
    are sentences, `curves` points to draw. `rounds` are taken as they come: arm, method, epsilon, seed, round, `loss`
    (mean training loss), `auc` (on validation data), `quarantined` (institution: reason code) and `missing`
    (institutions that sent nothing in time).
    `prevalence` holds the training rates; target rates that it lacks are counted on the validation predictions.
    """
    known = with_validation_rates(predictions, prevalence or Prevalence())
    panels = [read_panel(predictions, split) for split in splits]
    asked: dict[str, Any] = {"judge": judge, "outside_mean": outside_mean, "draws": draws, "seed": seed}
    compared = [one for panel in panels for one in panel_comparisons(panel, **asked)]
    answers = []
    if any(variant.arm == "federated" and variant.left_out is None for variant in panels[0].variants):
        answers = gains(
            panels[0],
            federated=federated,
            terms=terms,
            prevalence=known,
            draws=draws,
            seed=seed,
            config_sha256=config_sha256,
            predictions_sha256=predictions_sha256,
        )
    return dict(
        plain(
            {
                "schema": SCHEMA,
                "study": study,
                "dataset": dataset,
                "config_sha256": config_sha256,
                "git_sha": git_sha,
                "machine": dict(machine),
                "seeds": list(seeds),
                "splits": list(splits),
                "judge": judge,
                "outside_mean": list(outside_mean),
                "rows": [row for panel in panels for row in panel_rows(panel, spent=spent, prevalence=known)],
                "comparisons": compared,
                "gain": [answer.as_dict() for answer in answers],
                "targets": [one.measure(compared) if isinstance(one, Target) else dict(one) for one in targets],
                "privacy": list(privacy),
                "rounds": [dict(one) for one in rounds],
                "curves": curves(panels[0], prevalence=known),
                "prevalence": {"train": known.train, "target": known.target},
                "predictions_sha256": predictions_sha256,
                "schema_sha256": schema_sha256,
                "data_sha256": data_sha256,
                "timing": dict(timing),
            }
        )
    )


@dataclass(frozen=True)
class Report:
    """A finished report: data frames to work with, a page to read, and it draws itself in a notebook."""

    data: dict[str, Any]
    folder: Path | None = None

    @classmethod
    def read(cls, folder: str | Path) -> Report:
        """The report of a run folder.

        Raises RunError when there is none, or it was written by another version.
        """
        path = Path(folder) / "report.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            hint = "the run may not have finished; see its status.json and log.txt"
            raise RunError(str(path), found="no file", expected="a finished run's report", hint=hint) from None
        except (OSError, ValueError) as fault:
            raise RunError(str(path), found=type(fault).__name__, expected="a report in JSON") from fault
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise RunError(str(path), found="another schema", expected=f"schema {SCHEMA}")
        return cls(data, Path(folder))

    def write(self, folder: str | Path) -> None:
        """report.json, report.html and report.md in the folder, each whole or not at all."""
        from fedcredit.evaluation.markdown import markdown
        from fedcredit.evaluation.page import page

        text = json.dumps(self.data, ensure_ascii=False, indent=1, allow_nan=False)
        for name, content in (("html", page(self.data)), ("md", markdown(self.data)), ("json", text)):
            unfinished = Path(folder) / f".report.{name}.part"
            unfinished.write_text(content, encoding="utf-8")
            unfinished.replace(Path(folder) / f"report.{name}")

    @property
    def rows(self) -> pd.DataFrame:
        return pd.DataFrame(self.data["rows"], columns=list(ROW_FIELDS))

    @property
    def comparisons(self) -> pd.DataFrame:
        return pd.DataFrame(self.data["comparisons"], columns=list(COMPARISON_FIELDS))

    @property
    def headline(self) -> pd.DataFrame:
        """The comparisons that the study is judged by."""
        everything = self.comparisons
        return everything[everything["headline"].astype(bool)].reset_index(drop=True)

    @property
    def gain(self) -> list[dict[str, Any]]:
        return list(self.data["gain"])

    @property
    def targets(self) -> pd.DataFrame:
        return pd.DataFrame(self.data["targets"], columns=["name", "asked", "measured", "met"])

    @property
    def predictions(self) -> pd.DataFrame:
        """The scores behind the report, where the run kept them (public and synthetic data)."""
        path = None if self.folder is None else self.folder / "predictions.parquet"
        if path is None or not path.is_file():
            raise RunError("report", found="no predictions.parquet", expected="a run on public or synthetic data")
        return pd.read_parquet(path)

    def _repr_html_(self) -> str:
        from fedcredit.evaluation.page import fragment

        return fragment(self.data)
