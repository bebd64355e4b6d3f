"""Installed packages: what the wheel brought counts, what an installer wrote beside it does not."""

from __future__ import annotations

from importlib.metadata import Distribution, distribution
from pathlib import Path

from fedcredit.trust.software import installed, record_sha256

BROUGHT = "pkg/a.py,sha256=aa,10\npkg-1.0.dist-info/METADATA,sha256=bb,20\n"


def package(folder: Path, record: str) -> Distribution:
    folder.mkdir()
    (folder / "RECORD").write_text(record)
    return Distribution.at(folder)


def test_installers_lines_do_not_count_and_files_of_the_wheel_do(tmp_path: Path) -> None:
    first = record_sha256(package(tmp_path / "a.dist-info", BROUGHT))
    more = (
        "pkg-1.0.dist-info/METADATA,sha256=bb,20\npkg/__pycache__/a.cpython-311.pyc,,\n../../../bin/pkg,sha256=cc,9\n"
        "pkg-1.0.dist-info/INSTALLER,sha256=dd,4\npkg-1.0.dist-info/RECORD,,\npkg/a.py,sha256=aa,10\n"
    )
    assert record_sha256(package(tmp_path / "b.dist-info", more)) == first
    assert record_sha256(package(tmp_path / "c.dist-info", BROUGHT.replace("aa", "ab"))) != first


def test_installed_packages_are_named_with_version_and_digest_and_others_left_out() -> None:
    (one,) = installed(["cryptography", "no-such-package"])
    assert (one.name, one.version) == ("cryptography", distribution("cryptography").version)
    assert len(one.sha256) == 64
