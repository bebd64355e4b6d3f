"""A Flower app bundle becomes one that an institution tolerates: known by its hash, and nothing but the platform's own.

An institution runs its own installed code and nothing from a bundle; what a bundle holds runs at the platform. It is
looked at all the same: a bundle that brings client code, or a library in its own name, is not one of ours.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Collection

from fedcredit.errors import PolicyRefused

MAX_BUNDLE_BYTES = 10 * 1024 * 1024  # flwr's own limit
MAX_UNPACKED_BYTES = 50 * 1024 * 1024
FOLDERS = ("server/", "configs/")
FILES = ("pyproject.toml", ".info/CONTENT")


class BundleRefused(PolicyRefused):
    """A run's app bundle is not one that the consortium has allowed."""

    code = "bundle"


def check_bundle(content: bytes, *, sha256: str, allowed: Collection[str]) -> None:
    """Return if the content is what the hash says, the hash is allowed, and only the platform's folders are in it.

    Raises:
        BundleRefused: says which of these it is not.
    """
    if sha256 not in allowed:
        hint = "the consortium allows it for a study: fedcredit consortium study allow"
        raise BundleRefused("bundle", found=f"hash {sha256[:16]}", expected="one in the signed manifest", hint=hint)
    if len(content) > MAX_BUNDLE_BYTES or hashlib.sha256(content).hexdigest() != sha256:
        raise BundleRefused("bundle", found="other content than its hash says", expected=f"sha256 {sha256[:16]}")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
    except zipfile.BadZipFile:
        raise BundleRefused("bundle", found="no zip archive", expected="a Flower app bundle") from None
    if sum(member.file_size for member in members) > MAX_UNPACKED_BYTES:
        raise BundleRefused("bundle", found="a larger one", expected=f"at most {MAX_UNPACKED_BYTES} bytes unpacked")
    for member in members:
        name = member.filename
        is_ours = name in FILES or name.startswith(FOLDERS)
        if not is_ours or ".." in name.split("/") or "\\" in name:
            top = name.partition("/")[0][:40]
            raise BundleRefused("bundle", found=f"a member under {top!r}", expected="server/ and configs/ only")
