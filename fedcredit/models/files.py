"""A bundle's folder becomes the bytes of its files, each found to be as the manifest lists it; no torch is needed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from fedcredit.errors import ModelError

WEIGHTS, CARD, MANIFEST = "weights.safetensors", "model.json", "MANIFEST.sha256"
# The largest LSTM of the studies weighs under 1 MB, the largest card under 100 kB: more than this is no bundle of ours.
MAX_BYTES = {WEIGHTS: 64 << 20, CARD: 4 << 20, MANIFEST: 64 << 10}
ASK_AGAIN = "ask whoever gave you the bundle for it again"


def read_files(folder: Path) -> dict[str, bytes]:
    """The manifest and every file that it lists; other files in the folder are no part of the bundle.

    Raises:
        ModelError: a file is missing, changed or oversize, or the manifest is none.
    """
    manifest = _content(folder, MANIFEST)
    contents = {MANIFEST: manifest}
    for name, sha256 in _listed(manifest, where=str(folder / MANIFEST)).items():
        contents[name] = _content(folder, name)
        if digest(contents[name]) != sha256:
            found = "content that differs from the manifest"
            raise ModelError(str(folder / name), found=found, expected=f"sha256 {sha256[:12]}...", hint=ASK_AGAIN)
    return contents


def digest(content: bytes) -> str:
    """SHA-256 in hex; that of the manifest names the bundle."""
    return hashlib.sha256(content).hexdigest()


def _content(folder: Path, name: str) -> bytes:
    path, most = folder / name, MAX_BYTES.get(name, MAX_BYTES[WEIGHTS])
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as fault:
        found = os.strerror(fault.errno or 0)
        hint = f"a model bundle is a folder with {CARD}, {WEIGHTS} and {MANIFEST}"
        raise ModelError(str(path), found=found, expected="a readable file", hint=hint) from fault
    if len(content) > most:
        raise ModelError(str(path), found="an oversize file", expected=f"at most {most:,} bytes", hint=ASK_AGAIN)
    return content


def _listed(manifest: bytes, *, where: str) -> dict[str, str]:
    """File names and digests of a manifest in the form that `sha256sum -c` reads."""
    listed = {}
    for number, line in enumerate(manifest.decode(errors="replace").splitlines(), start=1):
        digest, _, name = line.partition("  ")
        is_plain = name == Path(name).name and name not in ("", ".", "..", MANIFEST)
        if not (is_plain and len(digest) == 64 and set(digest) <= set("0123456789abcdef")):
            raise ModelError(
                f"{where}, line {number}", found="another form", expected="'<sha256>  <file>'", hint=ASK_AGAIN
            )
        listed[name] = digest
    if missing := {CARD, WEIGHTS} - set(listed):
        raise ModelError(
            where, found=f"no line for {', '.join(sorted(missing))}", expected="every file", hint=ASK_AGAIN
        )
    return listed
