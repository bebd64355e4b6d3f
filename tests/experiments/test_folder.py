"""A run's folder is never half-written, and a resumed run is the run that was cut."""

from __future__ import annotations

import errno
import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from experiments.folder import RunFolder, config_sha256, read_settings
from fedcredit.errors import RunError
from fedcredit.settings import NOT_PART_OF_A_STUDY, StudySettings, TableSettings
from tests.conftest import small_files


@pytest.fixture
def settings(tmp_path: Path) -> StudySettings:
    return StudySettings(study="small", question="贷?", runs=str(tmp_path / "runs"))


def test_a_new_run_says_what_it_was_asked(settings: StudySettings) -> None:
    folder = RunFolder.open(settings)
    assert folder.path.parent == Path(settings.runs) / "small"
    assert read_settings(folder.path) == settings


def test_two_runs_of_one_second_have_two_folders(settings: StudySettings) -> None:
    assert RunFolder.open(settings).path != RunFolder.open(settings).path


def test_a_file_that_cannot_be_written_whole_leaves_the_old_one(settings: StudySettings) -> None:
    folder = RunFolder(Path(settings.runs))
    folder.write_text("report.md", "old")
    with small_files(), pytest.raises(RunError, match="File too large") as caught:
        folder.write_text("report.md", "x" * 1000)
    assert "resume=latest" in caught.value.hint
    assert (folder.path / "report.md").read_text() == "old"
    assert [path.name for path in folder.path.iterdir()] == ["report.md"]


def test_a_full_disk_leaves_the_old_file_and_no_draft(settings: StudySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(Path(settings.runs))
    folder.write_text("status.json", "{}")

    def full(*arguments: object, **settings: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(RunError, match="No space left on device"):
        folder.write_status("running")
    assert [(path.name, path.read_text()) for path in folder.path.iterdir()] == [("status.json", "{}")]


def test_resume_latest_goes_on_with_the_newest(settings: StudySettings) -> None:
    RunFolder.open(settings)
    newest = RunFolder.open(settings)
    assert RunFolder.open(replace(settings, resume="latest")).path == newest.path
    assert RunFolder.open(replace(settings, resume=newest.path.name)).path == newest.path
    assert RunFolder.open(replace(settings, resume=str(newest.path))).path == newest.path


def test_a_run_of_other_settings_is_not_resumed(settings: StudySettings) -> None:
    RunFolder.open(settings)
    with pytest.raises(RunError, match="a run of other settings"):
        RunFolder.open(replace(settings, seeds=(9,), resume="latest"))


@pytest.mark.parametrize("resume", ["latest", "20200101T000000Z", "/nowhere/at/all"])
def test_there_is_nothing_to_resume(resume: str, settings: StudySettings) -> None:
    with pytest.raises(RunError, match="found no run"):
        RunFolder.open(replace(settings, resume=resume))


def test_where_and_how_fast_a_study_runs_is_no_part_of_its_digest(settings: StudySettings) -> None:
    same = replace(settings, runs="elsewhere", workers=7, resume="latest")
    assert config_sha256(same) == config_sha256(settings)
    assert config_sha256(replace(settings, seeds=(1,))) != config_sha256(settings)


def test_a_role_that_came_later_is_part_of_the_digest_only_where_it_is_named(settings: StudySettings) -> None:
    earlier = asdict(settings)
    for name in NOT_PART_OF_A_STUDY:
        del earlier[name]
    del earlier["data"]["table"]["region"]
    text = json.dumps(earlier, sort_keys=True, ensure_ascii=False)
    assert config_sha256(settings) == hashlib.sha256(text.encode()).hexdigest()
    named = replace(settings, data=replace(settings.data, table=TableSettings(region="province")))
    assert config_sha256(named) != config_sha256(settings)


def test_latest_points_at_the_run_that_was_named_last(settings: StudySettings) -> None:
    first, second = RunFolder.open(settings), RunFolder.open(settings)
    for folder in (first, second):
        folder.point_latest()
    assert (Path(settings.runs) / "small" / "latest").resolve() == second.path.resolve()
