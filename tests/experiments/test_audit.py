"""`study audit` attacks a finished run, keeps what it found, and refuses what it may not touch."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from experiments import audit as auditing
from experiments.audit import Audit, audit
from experiments.audit_subject import read_subject
from experiments.audit_text import audit_text
from fedcredit.__main__ import main
from fedcredit.data.economy import EconomySettings
from fedcredit.errors import PolicyRefused, RunError
from fedcredit.privacy.auditing.canaries import CanaryAudit
from fedcredit.privacy.auditing.claims import Finding
from fedcredit.settings import DataSettings, PrivacySettings, StudySettings, TableSettings
from tests.privacy.reference_trainer import Reference

SMALL = DataSettings(economy=EconomySettings(companies=600, months=2, institutions=2))
TINY = [
    *("study", "run", "quickstart", "data.economy.companies=400", "data.economy.months=4", "data.length=2"),
    *("data.economy.institutions=2", "model=mlp", "arms=[federated]", "seeds=[0]", "recipe.rounds=3"),
    *("workers=1", "tracking.mlflow=false", "evaluation.draws=20"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a tiny study."""
    folder = tmp_path_factory.mktemp("audited")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(TINY)
    return folder / "runs" / "quickstart" / "latest"


@pytest.mark.slow
def test_an_audit_prints_the_bound_beside_the_claim_and_keeps_both(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    main(["study", "audit", str(run), "--canaries", "2000", "--shadows", "8", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads((run / "audit.json").read_text())
    assert 2.5 < said["epsilon_claimed"] <= 3.0
    assert 0.0 < said["epsilon_bound"] <= said["epsilon_claimed"]
    assert not said["is_contradicted"]
    assert len(said["findings"]) == 12
    assert all(finding["is_sound"] for finding in said["findings"])
    assert abs(said["membership"]["auc"] - 0.5) < 0.2
    assert said["inversion"]["bare"] > 0.99
    assert abs(said["inversion"]["masked"]) < 0.35


@pytest.mark.slow
def test_an_audit_of_an_engine_without_noise_contradicts_the_claim(run: Path) -> None:
    subject = read_subject(run)
    found = audit(subject, canaries=400, shadows=8, engine=Reference("noise off"))
    assert found.bound > subject.claimed
    assert found.is_contradicted
    text = audit_text(found)
    assert text.startswith("CONTRADICTED: epsilon is at least")
    assert "FAULT noise off" in text


@pytest.mark.slow
def test_a_contradicted_claim_leaves_with_1(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_a_fault(*words: object, **asked: object) -> Audit:
        sound = audit(*words, **asked)  # type: ignore[arg-type]
        return replace(sound, findings=[Finding("noise off", False, "0 of the noise", "1"), *sound.findings[1:]])

    monkeypatch.setattr(auditing, "audit", with_a_fault)
    with pytest.raises(SystemExit) as left:
        main(["study", "audit", str(run), "--canaries", "100", "--shadows", "8"])
    assert left.value.code == 1
    assert capsys.readouterr().out.startswith("CONTRADICTED: a check failed")


@pytest.mark.slow
def test_a_dry_run_trains_on_no_row_and_says_the_time(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    real = auditing.audit_with_canaries

    def watch(engine: object, model: object, rows: auditing.Rows, **asked: object) -> CanaryAudit:
        seen.append(float((rows.x - subject.train.x).abs().min()))
        return real(engine, model, rows, **asked)  # type: ignore[arg-type]

    subject = read_subject(run)
    monkeypatch.setattr(auditing, "audit_with_canaries", watch)
    capsys.readouterr()
    main(["study", "audit", str(run), "--dry-run", "--json", "--canaries", "100", "--shadows", "8"])
    assert json.loads(capsys.readouterr().out)["minutes"] > 0
    assert seen
    assert all(difference > 0 for difference in seen)


@pytest.mark.slow
def test_an_institution_that_is_not_there_is_said(run: Path) -> None:
    with pytest.raises(RunError, match="bank-01"):
        read_subject(run, institution="nobody")


def write_config(folder: Path, settings: StudySettings) -> None:
    (folder / "config.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(asdict(settings)))))


def test_a_run_on_your_own_table_is_refused_before_a_row_is_read(tmp_path: Path) -> None:
    table = DataSettings("table", table=TableSettings(path="is-not-there.csv", label="y", company="c"))
    write_config(tmp_path, StudySettings(data=table, privacy=PrivacySettings(epsilons=(3.0,))))
    with pytest.raises(PolicyRefused) as refused:
        read_subject(tmp_path)
    assert refused.value.exit_code == 3
    assert "charged" in refused.value.hint


def test_a_run_without_a_private_arm_has_nothing_to_audit(tmp_path: Path) -> None:
    write_config(tmp_path, StudySettings(data=SMALL))
    with pytest.raises(RunError, match="no federated private arm"):
        read_subject(tmp_path)


def test_an_unfinished_run_is_not_audited(tmp_path: Path) -> None:
    write_config(tmp_path, StudySettings(data=SMALL, privacy=PrivacySettings(epsilons=(3.0,))))
    with pytest.raises(RunError, match="a finished run"):
        read_subject(tmp_path)
