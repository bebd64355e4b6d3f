"""A bundle's folder becomes a copy on a model's desk, named by its digest and verified each time it is asked for."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path

from fedcredit.errors import ModelError
from fedcredit.models.files import CARD, MANIFEST, digest, read_files
from fedcredit.trust.files import write_whole
from fedcredit.trust.words import DIGEST

FOLDER = "bundles"
PROMOTION = "PROMOTION.json"  # beside the bundle's own files, not in its manifest
LEAST_DIGITS = 8  # of a digest that a person types


def keep(desk: Path, source: Path, *, version: str | None = None) -> str:
    """Copy a bundle to the desk, whole or not at all; its digest. A second time nothing is copied.

    `version` is what people call it, its number in the registry; without one it is the stamp that its scores carry.

    Raises:
        ModelError: the source is no bundle or was changed, its study is another model's, or the disk refuses.
    """
    files = read_files(source)
    sha256, study = digest(files[MANIFEST]), study_of(files[CARD], where=str(source / CARD))
    if f"fedcredit-{study}" != desk.name:
        raise ModelError(str(source), found=f"a bundle of study {study!r}", expected=f"one of {desk.name}")
    folder = desk / FOLDER / sha256
    try:
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft = folder.with_name(f".{sha256}.{secrets.token_hex(4)}")
            try:
                for name, content in files.items():
                    write_whole(draft / name, content)
                draft.replace(folder)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        said = version or f"{study}-{sha256[:12]}"
        note = folder.with_name(f"{sha256}.json")
        if version is not None or not note.exists():
            write_whole(note, json.dumps({"schema": 1, "version": said}, ensure_ascii=False).encode())
    except OSError as fault:
        found = os.strerror(fault.errno or 0).lower()
        hint = "free some space; nothing was left half-written"
        raise ModelError(str(folder), found=found, expected="a folder that can be written", hint=hint) from fault
    kept(desk, sha256)
    return sha256


def kept(desk: Path, sha256: str) -> Path:
    """The folder of the bundle with this digest, verified.

    Raises:
        ModelError: it is not on the desk, or a file was changed.
    """
    folder = desk / FOLDER / sha256
    if not DIGEST.fullmatch(sha256) or not folder.is_dir():
        hint = "fetch and approve it: fedcredit model approve VERSION --key person.key"
        raise ModelError(desk.name, found=f"no bundle {sha256[:12]}", expected="one that is on the desk", hint=hint)
    if digest(read_files(folder)[MANIFEST]) != sha256:
        hint = f"the copy was changed; remove {folder.name[:12]}... from {FOLDER}/ and approve the version again"
        raise ModelError(
            str(folder), found="a manifest of another digest", expected=f"sha256 {sha256[:12]}...", hint=hint
        )
    return folder


def version_of(desk: Path, sha256: str) -> str:
    """What people call the bundle with this digest: its number in the registry, or the start of its digest."""
    try:
        said = json.loads((desk / FOLDER / f"{sha256}.json").read_bytes())["version"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return sha256[:12]
    return said[:80] if isinstance(said, str) and said.isprintable() and said else sha256[:12]


def called(desk: Path, version: str) -> str | None:
    """The digest of the bundle on the desk that this word means: a version, a stamp or the start of a digest.

    Raises:
        ModelError: it means more than one.
    """
    there = [path.name for path in (desk / FOLDER).glob("*") if DIGEST.fullmatch(path.name) and path.is_dir()]
    start = version.rpartition("-")[2]
    found = [one for one in there if version_of(desk, one) == version] or [
        one for one in there if len(start) >= LEAST_DIGITS and one.startswith(start)
    ]
    if len(found) > 1:
        hint = f"name one by its digest: {', '.join(one[:12] for one in found[:5])}"
        raise ModelError(desk.name, found=f"{len(found)} bundles called {version}", expected="one", hint=hint)
    return found[0] if found else None


def study_of(card: bytes, *, where: str) -> str:
    """The study that a model card names. Raises ModelError: it is no card."""
    try:
        study = json.loads(card)["study"]
    except (ValueError, KeyError, TypeError, RecursionError):
        study = None
    if not isinstance(study, str):
        raise ModelError(where, found="no study", expected="a model card")
    return study
