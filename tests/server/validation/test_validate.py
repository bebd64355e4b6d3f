"""A run becomes its validation file; what was changed in between is refused."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from fedcredit.errors import FedCreditError, ModelError, RunError, TableError
from fedcredit.evaluation.metrics import auc
from fedcredit.models import bundle as bundles
from fedcredit.models.calibrated import PriorShift
from server.cli import model
from server.promotion.evidence import FIGURES, read_evidence
from server.scoring.book import ScoreBook
from server.validation.sections import SECTIONS
from tests.server.validation.conftest import COMPANY, Finished, MakeRun, Run, rewrite

VOID = {"meta", "br", "img", "link", "hr", "input", "path", "use", "rect"}


def call(*words: object) -> Result:
    return CliRunner().invoke(model, ["validate", *(str(word) for word in words), "--draws", "200"])


def refused(*words: object) -> FedCreditError:
    fault = call(*words).exception
    assert isinstance(fault, FedCreditError), fault
    return fault


def evidence(run: Run, *words: object) -> dict[str, Any]:
    result = call(run.model, "--runs", run.runs, "--json", *words)
    assert result.exit_code == 0, result.exception
    found: dict[str, Any] = json.loads(result.stdout)["evidence"]
    return found


def test_three_files_of_the_bundles_digest_are_in_the_models_desk(run: Run) -> None:
    paths = call(run.model, "--runs", run.runs).stdout.splitlines()
    digest = bundles.read(Path(run.model)).sha256
    assert paths == [str(run.evidence / f"{digest}.{kind}") for kind in ("html", "md", "json")]
    assert run.evidence.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in run.evidence.iterdir()) == sorted(Path(path).name for path in paths)


def test_evidence_has_every_figure_and_no_nan(finished: Finished) -> None:
    (path,) = finished.run.evidence.glob("*.json")
    found = json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(word))
    assert set(FIGURES) == set(found["figures"])
    assert found["schema"] == 1
    assert found["model"] == {
        "name": "fedcredit-quick",
        "version": None,
        "bundle_sha256": path.stem,
        "study": "quick",
    }
    assert found["data"]["synthetic"] is True
    assert found["against"] is None
    for one in found["figures"].values():
        assert set(one) == {"value", "low", "high", "about"}
        assert one["about"]


def test_figures_are_of_this_seed_alone(finished: Finished) -> None:
    frame = pd.read_parquet(finished.run.folder / "predictions.parquet").query("split == 'test'")
    by_seed = {seed: auc(part["y"], part["p"]) for seed, part in frame.groupby("seed")}
    found = finished.evidence["figures"]["auc"]
    assert found["value"] == pytest.approx(by_seed[0], abs=1e-12)
    assert abs(by_seed[0] - by_seed[1]) > 0.01
    assert found["low"] < found["value"] < found["high"]


def test_epsilon_its_budget_and_replies_set_aside_are_told(finished: Finished) -> None:
    figures = finished.evidence["figures"]
    assert figures["epsilon"]["value"] == 2.9
    assert figures["epsilon_budget"]["value"] == 3.0
    assert figures["quarantined"]["value"] == 1.0
    assert figures["membership_advantage"]["value"] is None


def audit(unit: str) -> dict[str, Any]:
    membership = {"auc": 0.51, "auc_low": 0.48, "auc_high": 0.54, "shadows": 16}
    numbers = {"epsilon_claimed": 2.9, "epsilon_bound": 0.4, "delta": 1e-5, "is_contradicted": False}
    return {"schema": 1, "unit": unit, "institution": "bank-1", "membership": membership, **numbers}


def test_audit_of_this_training_gives_the_membership_advantage(run: Run) -> None:
    unit = next((run.folder / "units").glob("*seed0*.json")).stem
    (run.folder / "audit.json").write_text(json.dumps(audit(unit)))
    found = evidence(run)["figures"]["membership_advantage"]
    assert found["value"] == pytest.approx(0.02)
    assert (found["low"], found["high"]) == (pytest.approx(-0.04), pytest.approx(0.08))


def test_audit_of_another_seed_does_not_count(run: Run) -> None:
    unit = next((run.folder / "units").glob("*seed1*.json")).stem
    (run.folder / "audit.json").write_text(json.dumps(audit(unit)))
    assert evidence(run)["figures"]["membership_advantage"]["value"] is None


def test_no_company_is_in_any_output(finished: Finished) -> None:
    assert COMPANY in pd.read_parquet(finished.run.folder / "predictions.parquet")["company"].iloc[0]
    for text in (finished.printed, finished.page, finished.markdown, json.dumps(finished.evidence)):
        assert "SECRET" not in text


def test_cell_of_a_few_companies_is_not_shown(finished: Finished) -> None:
    for text in (finished.page, finished.markdown):
        assert "sector-3" in text
        assert "rare" not in text  # two companies on the test split; the smallest other sector stands with them
        assert "others, together" in text


def test_own_table_shows_no_institution_unless_asked(make_run: MakeRun) -> None:
    run = make_run(data="table")
    call(run.model, "--runs", run.runs)
    assert "bank-3" not in next(run.evidence.glob("*.html")).read_text(encoding="utf-8")
    call(run.model, "--runs", run.runs, "--by-institution")
    assert "bank-3" in next(run.evidence.glob("*.html")).read_text(encoding="utf-8")


def table_of(markdown: str, title: str, caption: str) -> list[list[str]]:
    """The cells of a table in a section of the file, its head first."""
    section = re.split(rf"\n## \d+\. {title}\n", markdown)[1].split("\n## ")[0]
    lines = section.split(f"\n### {caption}\n\n")[1].split("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in line.replace("\\", "").strip("|").split("|")] for line in lines]
    return [rows[0], *rows[2:]]


def test_performance_and_gaps_by_region_are_in_the_file(finished: Finished) -> None:
    head, *rows = table_of(finished.markdown, "Performance", "By region")
    assert head[0] == "region"
    assert [row[0] for row in rows] == ["region-0", "region-1", "region-2"]
    frame = pd.read_parquet(finished.run.folder / "predictions.parquet").query("split == 'test' and seed == 0")
    for name, _, companies, defaults, found, _ in rows:
        part = frame[frame["region"] == name]
        assert (companies, defaults) == (str(len(part)), str(part["y"].sum()))
        assert float(found.split("[")[0]) == pytest.approx(auc(part["y"], part["p"]), abs=6e-3)
        assert "[" in found
    gaps = {
        row[1]: row
        for row in table_of(finished.markdown, "Fairness", "Widest gaps between two groups of one kind")[1:]
        if row[0] == "region"
    }
    assert set(gaps) == {"AUC", "approval rate", "bad rate", "observed / expected"}
    assert all("[" in row[4] for row in gaps.values())
    assert "By region:" not in finished.markdown


def test_regional_banks_are_not_shown_by_their_regions(make_run: MakeRun) -> None:
    run = make_run(data="table", banks_a_region=1)
    call(run.model, "--runs", run.runs)
    page = next(run.evidence.glob("*.md")).read_text(encoding="utf-8")
    assert "region-1" not in page
    assert "By region: each group is of too few companies, or of one institution" in page
    call(run.model, "--runs", run.runs, "--by-institution")
    assert "region-1" in next(run.evidence.glob("*.md")).read_text(encoding="utf-8")


def test_champion_on_identical_rows_gives_a_paired_difference(make_run: MakeRun) -> None:
    first, second = make_run(), make_run(weight=-0.5, time="20260102T000000Z")
    found = evidence(first, "--against", second.model)
    assert found["against"]["bundle_sha256"] == bundles.read(Path(second.model)).sha256
    delta = found["figures"]["delta_auc"]
    assert 0 < delta["low"] < delta["value"] < delta["high"]
    same = evidence(first, "--against", first.model)["figures"]["delta_auc"]
    assert (same["value"], same["low"], same["high"]) == (0.0, 0.0, 0.0)


def test_champion_of_other_rows_is_refused(make_run: MakeRun) -> None:
    first, second = make_run(), make_run(rows_seed=1, time="20260102T000000Z")
    fault = refused(first.model, "--runs", first.runs, "--against", second.model)
    assert isinstance(fault, RunError)
    assert "of 600 are the same" in fault.found
    assert "SECRET" not in str(fault)
    shorter = make_run(rows=600, time="20260103T000000Z")
    assert "other rows" in refused(first.model, "--runs", first.runs, "--against", shorter.model).found


def test_run_folder_that_is_gone_is_refused(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.model, tmp_path / "kept")
    shutil.rmtree(run.folder)
    fault = refused(tmp_path / "kept", "--runs", run.runs)
    assert isinstance(fault, RunError)
    assert "none in" in fault.found
    assert not run.evidence.exists()


def test_bundle_kept_elsewhere_finds_its_run(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.model, tmp_path / "kept")
    assert call(tmp_path / "kept", "--runs", run.runs).exit_code == 0


def test_model_that_is_not_there_is_refused(run: Run) -> None:
    assert isinstance(refused("models:/fedcredit-quick/1", "--runs", run.runs), ModelError)


def test_predictions_of_other_rows_are_refused(make_run: MakeRun) -> None:
    run, other = make_run(), make_run(rows_seed=1, time="20260102T000000Z")
    shutil.copy(other.folder / "predictions.parquet", run.folder / "predictions.parquet")
    assert refused(run.model, "--runs", run.runs).found == "another file than the report was made from"
    shutil.copy(other.folder / "report.json", run.folder / "report.json")
    assert refused(run.model, "--runs", run.runs).found == "scores that differ from the unit's own"


def test_report_with_a_better_auc_is_refused(run: Run) -> None:
    rewrite(run.folder / "report.json", lambda report: report["rows"][0].update(auc=0.99))
    fault = refused(run.model, "--runs", run.runs)
    assert "which its predictions give" in fault.expected
    assert not run.evidence.exists()


@pytest.mark.parametrize("name", ["config_sha256", "git_sha"])
def test_report_of_another_study_is_refused(run: Run, name: str) -> None:
    rewrite(run.folder / "report.json", lambda report: report.update({name: "0" * 64}))
    assert refused(run.model, "--runs", run.runs).found == f"another {name}"


@pytest.mark.parametrize("name", ["report.json", "config.yaml", "predictions.parquet"])
def test_file_of_another_form_is_an_error_of_ours(run: Run, name: str) -> None:
    (run.folder / name).write_bytes(b"[1, 2")
    assert isinstance(refused(run.model, "--runs", run.runs), RunError)


def test_unit_with_other_weights_is_refused(run: Run) -> None:
    for path in (run.folder / "units").glob("*seed0*.safetensors"):
        path.unlink()
    assert refused(run.model, "--runs", run.runs).found == "no unit with the model's weights"


def test_settings_changed_by_hand_are_told(run: Run) -> None:
    path = run.folder / "config.yaml"
    path.write_text(path.read_text().replace("rounds: 10", "rounds: 11"))
    call(run.model, "--runs", run.runs)
    page = next(run.evidence.glob("*.html")).read_text(encoding="utf-8")
    assert "another digest: a later version of the program, or a hand" in page


class Wellformed(HTMLParser):
    """Every tag that opens closes, in order; ids are single; nothing is fetched and nothing runs."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "iframe", "link", "object")
        told = dict(attrs)
        assert not [name for name in told if name.startswith("on")]
        if told.get("id"):
            self.ids.append(str(told["id"]))
        if told.get("href"):
            self.links.append(str(told["href"]))
        if tag not in VOID or tag in ("path", "use", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag


def test_page_is_well_formed_and_fetches_nothing(finished: Finished) -> None:
    page, text = Wellformed(), finished.page
    page.feed(text)
    assert page.open == []
    in_page = [link for link in page.links if link.startswith("#") and link[1:] in page.ids]
    assert len([link for link in page.links if not link.startswith("#")]) == 0
    assert len(in_page) > 10
    assert "http" not in text.replace("http://www.w3.org", "")


def test_markdown_tables_have_the_same_cells_in_every_line(finished: Finished) -> None:
    text = finished.markdown
    assert text.startswith("---\ntitle:")
    widths = []
    for line in text.splitlines():
        if line.startswith("|"):
            widths.append(line.replace("\\|", "").count("|"))
        elif widths:
            assert len(set(widths)) == 1, line
            widths = []


def test_same_run_gives_the_same_evidence(finished: Finished) -> None:
    assert evidence(finished.run) | {"made": ""} == finished.evidence | {"made": ""}


def test_gates_read_the_evidence(finished: Finished) -> None:
    (path,) = finished.run.evidence.glob("*.json")
    found = read_evidence(path)
    assert found.figures["auc"].value == finished.evidence["figures"]["auc"]["value"]
    assert found.model.bundle_sha256 == path.stem


def test_every_section_has_words_or_figures_and_says_what_it_does_not_cover(finished: Finished) -> None:
    parts = finished.markdown.split("\n## ")[2:]
    assert len(parts) == len(SECTIONS) + 1
    for part in parts:
        assert len(part.splitlines()) > 2
        assert "**Not covered:**" in part or "Refused applicants" in part


def test_applicants_scores_correct_accept_only_labels(run: Run, tmp_path: Path) -> None:
    frame = pd.read_parquet(run.folder / "predictions.parquet").query("split == 'test' and seed == 0")
    refused_too = np.concatenate([frame["p"], np.linspace(0.1, 0.6, 400)])
    pd.DataFrame({"company": "x", "pd": refused_too}).to_csv(tmp_path / "scores.csv", index=False)
    call(run.model, "--runs", run.runs, "--applicants", tmp_path / "scores.csv")
    page = next(run.evidence.glob("*.html")).read_text(encoding="utf-8")
    assert "600 of 1,000 applicants have an outcome" in page
    assert "Assumptions: " in page


@pytest.mark.parametrize("content", ["company,score\na,1\n", "pd\n7\n", "", "pd\n0.5\n"])
def test_applicants_that_are_no_scores_of_this_model_are_refused(run: Run, tmp_path: Path, content: str) -> None:
    (tmp_path / "scores.csv").write_text(content)
    assert isinstance(refused(run.model, "--runs", run.runs, "--applicants", tmp_path / "scores.csv"), TableError)


def test_table_tells_what_weighs_most_and_no_company_of_it(run: Run, tmp_path: Path) -> None:
    rows = "".join(f"{COMPANY}{i},2024-01,{i % 7}\n" for i in range(40))
    (tmp_path / "t.csv").write_text(f"id,month,debt\n{rows}")
    result = call(run.model, "--runs", run.runs, "--table", tmp_path / "t.csv")
    assert result.exit_code == 0, result.exception
    page = next(run.evidence.glob("*.html")).read_text(encoding="utf-8")
    assert "Influence by column, mean over 40 companies" in page
    assert "SECRET" not in page


def test_table_of_a_few_companies_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,month,debt\na,2024-01,1\nb,2024-01,2\n")
    fault = refused(run.model, "--runs", run.runs, "--table", tmp_path / "t.csv")
    assert (fault.found, fault.expected) == ("2 companies", "20 or more")


def test_bundle_calibrated_after_the_run_is_judged_by_its_own_pds(run: Run, tmp_path: Path) -> None:
    raw = evidence(run)["figures"]
    made = replace(bundles.read(Path(run.model)), calibration=(PriorShift(0.15, 0.05),), scale="master19", sha256="")
    bundles.write(tmp_path / "calibrated", made)
    result = call(tmp_path / "calibrated", "--runs", run.runs, "--json")
    assert result.exit_code == 0, result.exception
    answer = json.loads(result.stdout)
    figures = answer["evidence"]["figures"]
    assert figures["auc"]["value"] == pytest.approx(raw["auc"]["value"], abs=1e-12)
    assert figures["observed_expected"]["value"] > 2 * raw["observed_expected"]["value"]
    page = Path(answer["files"]["html"]).read_text(encoding="utf-8")
    assert "does not say on which rows" in page
    assert "default rate 0.15 to 0.05" in page


def test_overrides_and_the_score_book_fill_their_sections_and_change_no_evidence(run: Run, tmp_path: Path) -> None:
    before = evidence(run)
    version = bundles.read(Path(run.model)).version
    with ScoreBook(run.evidence.parent / "scores.sqlite") as book:
        for month, pd_ in (("2025-01", 0.01), ("2025-02", 0.02)):
            companies = pd.DataFrame({"company": [f"{COMPANY}{i}" for i in range(40)], "pd": pd_, "coverage": 1.0})
            book.put(companies.assign(period=month, model_version=version))
    lines = "BB,BB,0,\n" * 60 + "BB,BB+,1,group-support\n" * 12 + "BB,B+,0,litigation\n" * 15
    (tmp_path / "o.csv").write_text(f"model_grade,final_grade,outcome,reason\n{lines}")
    after = evidence(run, "--overrides", tmp_path / "o.csv")
    aged = {"data_age_hours": None}  # a book tells the age of its scores
    assert after["figures"] | aged == before["figures"] | aged
    page = next(run.evidence.glob("*.html")).read_text(encoding="utf-8")
    assert "Score book: of 40 companies 0.0 % have the same grade 1 month later" in page
    assert "Persons changed 27 of 87 grades" in page
    assert "SECRET" not in page
    found = Wellformed()
    found.feed(page)
    assert found.open == []
    assert {"migration", "vintages", "indicators", "overrides"} <= set(found.ids)


def test_overrides_of_another_form_stop_the_command_before_anything_is_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text(f"company,model_grade\n{COMPANY},BB\n")
    fault = refused(run.model, "--runs", run.runs, "--overrides", tmp_path / "o.csv")
    assert isinstance(fault, TableError)
    assert "SECRET" not in str(fault)
    assert not run.evidence.exists()
