"""App bundles: only of an allowed hash, only what they say they are, and nothing that could be code of a client."""

from __future__ import annotations

import hashlib
import io
import zipfile

import pytest

from fedcredit.trust.bundle import MAX_UNPACKED_BYTES, BundleRefused, check_bundle


def archive(*names: str, content: bytes = b"x") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name in names:
            made.writestr(name, content)
    return out.getvalue()


def check(data: bytes) -> None:
    digest = hashlib.sha256(data).hexdigest()
    check_bundle(data, sha256=digest, allowed=[digest])


def test_bundle_of_server_and_configs_is_let_through() -> None:
    check(archive("pyproject.toml", ".info/CONTENT", "server/app.py", "configs/study.yaml"))


def test_bundle_whose_hash_is_not_allowed_is_refused() -> None:
    data = archive("server/app.py")
    with pytest.raises(BundleRefused, match="signed manifest"):
        check_bundle(data, sha256=hashlib.sha256(data).hexdigest(), allowed=["0" * 64])


def test_bundle_of_other_content_than_its_hash_says_is_refused() -> None:
    digest = hashlib.sha256(archive("server/app.py")).hexdigest()
    with pytest.raises(BundleRefused, match="other content"):
        check_bundle(archive("server/other.py"), sha256=digest, allowed=[digest])


@pytest.mark.parametrize(
    "name",
    [
        "clients/app.py",
        "torch/__init__.py",
        "fedcredit/errors.py",
        "server/../clients/app.py",
        "/server/app.py",
        "x.py",
    ],
)
def test_bundle_with_code_that_is_not_the_platforms_is_refused(name: str) -> None:
    with pytest.raises(BundleRefused, match="a member under"):
        check(archive("server/app.py", name))


def test_bundle_that_unpacks_to_more_than_it_may_is_refused_without_unpacking() -> None:
    with pytest.raises(BundleRefused, match="larger"):
        check(archive("server/app.py", content=bytes(MAX_UNPACKED_BYTES + 1)))


def test_bundle_that_is_no_archive_is_refused() -> None:
    with pytest.raises(BundleRefused, match="no zip"):
        check(b"PK nothing")
