"""What SuperExec starts for a run: code that the consortium has allowed, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flwr.supercore.constant import TASK_TYPE_TO_COMMAND

from fedcredit.trust.bundle import BundleRefused
from fedcredit.trust.manifest import ManifestFile, ManifestRefused, StudyRule
from server.bundle import bundle
from server.launch import require_allowed
from server.superlink_files import COORDINATOR, SuperLinkFiles
from tests.trust.consortium import manifest, sealed

TODAY = datetime.now(UTC).replace(microsecond=0)


def home(folder: Path, *, days: float = 30.0, expires: float = 30.0, digest: str = bundle().sha256) -> Path:
    """A consortium's folder with a manifest of two days ago that allows one bundle."""
    rule = StudyRule("trial", "credit-risk", (digest,), {"type": "object"}, TODAY + timedelta(days=days))
    dated = {
        "issued": TODAY - timedelta(days=2),
        "expires": TODAY + timedelta(days=expires),
        "studies": (rule,),
    }
    file = ManifestFile(folder / "manifest.json")
    file.pin(sealed(**dated), fingerprint=manifest(**dated).root_fingerprint, now=TODAY - timedelta(days=2))
    return folder


def test_the_bundle_of_a_study_may_run(tmp_path: Path) -> None:
    require_allowed(bundle().content, home=home(tmp_path))


def test_what_no_study_allows_may_not(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused):
        require_allowed(bundle().content, home=home(tmp_path, digest="c" * 64))
    with pytest.raises(BundleRefused):
        require_allowed(bundle().content + b" ", home=tmp_path)


def test_the_bundle_of_a_study_that_is_over_may_not_run(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused):
        require_allowed(bundle().content, home=home(tmp_path, days=-1.0))


def test_nothing_may_run_by_an_expired_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestRefused, match="expired"):
        require_allowed(bundle().content, home=home(tmp_path, expires=-1.0))


def test_every_program_that_superexec_can_start_is_one_of_ours(tmp_path: Path) -> None:
    files = SuperLinkFiles(tmp_path)
    path = files.environment()["PATH"]
    for name in TASK_TYPE_TO_COMMAND.values():
        found = Path(str(shutil.which(name, path=path)))
        assert found.parent == files.programs
        assert found.stat().st_mode & 0o777 == 0o700
        if name != COORDINATOR:
            assert subprocess.run([found], check=False).returncode == 1
    said = subprocess.run(
        [COORDINATOR, "--help"], env=files.environment(), capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "Run a Flower ServerApp" in said.stdout
