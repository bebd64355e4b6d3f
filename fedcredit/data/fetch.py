"""A pinned public file becomes a local path: from the cache, a mirror or a download, and never the wrong file."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.request
from functools import cache
from pathlib import Path
from typing import BinaryIO

from fedcredit.errors import DatasetError

MAX_FILE_BYTES = 64 * 2**20  # the largest pinned file has 4 MB
TIMEOUT_SECONDS = 60.0
CHUNK_BYTES = 2**20


def fetch(local: str, sha256: str, *, address: str, mirror: Path | None = None, is_free: bool = True) -> Path:
    """Where the file is, its sha256 checked.

    It is looked for as `local` in the cache (FEDCREDIT_CACHE or ~/.cache/fedcredit), then in the mirror (the argument,
    else FEDCREDIT_DATA_MIRROR), and used in place; else it is downloaded into the cache, unless its set is not free to
    take.
    """
    cached = cache_folder() / local
    folder = mirror_folder() if mirror is None else mirror
    if folder is not None and not (os.path.isdir(folder) and os.access(folder, os.R_OK | os.X_OK)):  # noqa: PTH112
        hint = "correct or unset FEDCREDIT_DATA_MIRROR"
        raise DatasetError(str(folder), found="no readable folder", expected="a mirror of the public files", hint=hint)
    for path in (cached, folder / local if folder else None):
        if path is not None and os.path.lexists(path):
            return _verified(path, sha256)
    if not is_free:
        raise DatasetError(
            local,
            found="no copy",
            expected="a copy that you bring, since the set states no licence",
            hint=f"put the file of {address} at {cached}, or set FEDCREDIT_DATA_MIRROR",
        )
    return _download(address, cached, sha256)


def cache_folder() -> Path:
    """Where downloaded files are kept."""
    return Path(os.environ.get("FEDCREDIT_CACHE") or Path.home() / ".cache" / "fedcredit")


BESIDE = Path("../shared/data")


def mirror_folder() -> Path | None:
    """The folder that FEDCREDIT_DATA_MIRROR names, else ../shared/data where that exists, else None."""
    named = os.environ.get("FEDCREDIT_DATA_MIRROR")
    if named:
        return Path(named)
    return BESIDE.resolve() if BESIDE.is_dir() else None


def _verified(path: Path, sha256: str) -> Path:
    try:
        now = path.stat()
        found = _digest(path, now.st_size, now.st_mtime_ns)
    except OSError as error:
        found = (error.strerror or "an unreadable file").lower()
        hint = "check the mirror and its permissions"
        raise DatasetError(str(path), found=found, expected="a readable file", hint=hint) from error
    if found != sha256:
        hint = "this is not the pinned file; delete it and fetch it again"
        raise DatasetError(str(path), found=f"sha256 {found}", expected=f"sha256 {sha256}", hint=hint)
    return path


@cache
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    """Digest of a file, computed once a process for as long as its size and time stay the same."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _download(address: str, path: Path, sha256: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            part = Path(folder) / path.name
            with (
                urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as reply,  # noqa: S310 (a constant https host)
                part.open("wb") as stream,
            ):
                _copy(reply, stream, address=address)
            found = hashlib.sha256(part.read_bytes()).hexdigest()
            if found != sha256:
                hint = "the address does not serve the pinned file; nothing was kept"
                raise DatasetError(address, found=f"sha256 {found}", expected=f"sha256 {sha256}", hint=hint)
            return part.replace(path)
    except OSError as error:  # a refused connection, a timeout or a full disk
        hint = f"put the file at {path}, or set FEDCREDIT_DATA_MIRROR to a folder that has {path.name}"
        raise DatasetError(address, found=str(error), expected="a download", hint=hint) from error


def _copy(reply: BinaryIO, stream: BinaryIO, *, address: str) -> None:
    copied = 0
    while chunk := reply.read(CHUNK_BYTES):
        copied += len(chunk)
        if copied > MAX_FILE_BYTES:
            raise DatasetError(address, found=f"more than {MAX_FILE_BYTES} bytes", expected="the pinned file")
        stream.write(chunk)
