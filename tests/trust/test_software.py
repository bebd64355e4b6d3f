"""Installed packages: what the wheel brought counts, what an installer wrote beside it does not."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

from fedcredit.errors import ConfigError
from fedcredit.trust.entries import Package
from fedcredit.trust.software import in_wheels, installed, record_sha256

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


def wheel(folder: Path, name: str, *, version: str = "1.0", content: bytes = b"x = 1\n") -> Path:
    """A tiny wheel."""
    path, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/__init__.py", content)
        archive.writestr(f"{info}/RECORD", f"{name}/__init__.py,sha256={digest},{len(content)}\n{info}/RECORD,,\n")
    return path


def test_wheels_in_a_folder_are_named_with_their_hashes(tmp_path: Path) -> None:
    path = wheel(tmp_path, "flwr")
    wheel(tmp_path, "other")
    (found,) = in_wheels(tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (found.name, found.version, found.wheel, found.wheel_sha256) == ("flwr", "1.0", path.name, digest)
    assert found.requirement == f"flwr==1.0 --hash=sha256:{digest}"
    wheel(tmp_path, "flwr", content=b"x = 2\n")
    assert in_wheels(tmp_path)[0].sha256 != found.sha256


def test_two_wheels_of_one_package_and_a_file_that_is_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "torch-1.0-py3-none-any.whl").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="a wheel"):
        in_wheels(tmp_path)
    wheel(tmp_path, "torch")
    wheel(tmp_path, "torch", version="2.0")
    with pytest.raises(ConfigError, match="two wheels"):
        in_wheels(tmp_path)


def test_package_with_half_of_a_wheel_is_refused() -> None:
    with pytest.raises(ConfigError, match="wheel"):
        Package("flwr", "1.0", "0" * 64, wheel="flwr-1.0-py3-none-any.whl")
