"""A consortium's signed manifest becomes the one that this machine goes by: a newer one is taken, an older one never.

A manifest has a version and an expiry, and its officers sign it: at least `threshold` of them. The rules are those of
The Update Framework (specification 1.0, 5.3) for its root: who knows one manifest takes another only from the officers
that it knows, or from those to whom they have handed over; the version never falls; an expired one is none.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedcredit.errors import ConfigError
from fedcredit.strict import build
from fedcredit.trust.entries import Member, Operator, Package, StudyRule, identity_of
from fedcredit.trust.envelope import MAX_FILE_BYTES, canonical, open_sealed, peek, seal
from fedcredit.trust.files import write_whole
from fedcredit.trust.fingerprint import read_fingerprint
from fedcredit.trust.handover import Officers, follow
from fedcredit.trust.keys import Identity
from fedcredit.trust.membership import KIND, Manifest, ManifestRefused
from fedcredit.trust.words import moment_text

__all__ = [
    "Manifest",
    "ManifestFile",
    "ManifestRefused",
    "Member",
    "Operator",
    "Package",
    "StudyRule",
    "manifest_digest",
    "open_manifest",
    "seal_manifest",
]


def seal_manifest(manifest: Manifest, *, by: Sequence[Identity]) -> bytes:
    """The manifest's file with a signature of each in `by`."""
    return seal(manifest.body(), kind=KIND, by=by)


def open_manifest(data: bytes, *, now: datetime | None = None) -> Manifest:
    """The manifest in the file, signed by the threshold of the officers that it names itself.

    That alone makes nobody trust it: the caller compares `root_fingerprint`, or knows the officers from before. With
    `now`, one that has expired is refused.

    Raises:
        SealBroken: it is no signed manifest, or has too few signatures.
        ManifestRefused: it says what cannot be, or has expired.
    """
    manifest = Manifest.from_body(peek(data, kind=KIND))
    open_sealed(data, kind=KIND, signers=manifest.officers.values(), threshold=manifest.threshold)
    if now is not None and now >= manifest.expires:
        raise ManifestRefused(
            KIND,
            found=f"version {manifest.version}, expired on {moment_text(manifest.expires)}",
            expected="one that holds now",
            hint="ask the platform for the newest manifest; check this machine's clock",
        )
    return manifest


@dataclass(frozen=True)
class _Highest:
    """The highest version that was ever taken here, with the officers that a newer one has to come from."""

    version: int
    sha256: str  # of the canonical body
    officers: Officers


class ManifestFile:
    """The manifest that this machine goes by, in a file.

    Beside it lies a small file with the highest version seen, the digest of its content and its officers. So an older
    manifest is refused also after somebody has put it in the place of the newer one, or has deleted the newer one. Who
    deletes both files starts anew, and needs the fingerprint again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.highest = path.with_name(f"{path.stem}.highest.json")

    def pin(self, data: bytes, *, fingerprint: str, now: datetime) -> Manifest:
        """Take the first manifest, after a person compared its fingerprint; also one of new officers, by the same way.

        Raises:
            SealBroken: it is no signed manifest, or has too few signatures.
            FingerprintRefused: the fingerprint is another one, or shorter than 16 digits.
            ManifestRefused: it has expired, or a newer one was taken here already.
        """
        manifest = open_manifest(data, now=now)
        read_fingerprint(fingerprint, of=manifest.root_fingerprint)
        with self._locked():
            known = self._known()
            if known is not None:
                _check_not_older(manifest, data, known)
            self._keep(manifest, data)
        return manifest

    def accept(self, data: bytes, *, now: datetime) -> Manifest:
        """Take a manifest that came later, if it is the kept one or a newer one of the same officers or their heirs.

        Nothing is written where it is refused.

        Raises:
            SealBroken: it is no signed manifest, or too few of the officers that are known here have signed it.
            ManifestRefused: a lower version, the same version with other content, expired, or none was pinned yet.
        """
        with self._locked():
            return self._accept(data, now=now)

    def read(self, *, now: datetime) -> Manifest:
        """The manifest that is kept, verified again. Raises as `accept`, and ManifestRefused if there is no file."""
        self.data()  # where there is none, no folder is made for the lock
        with self._locked():  # of two files, which belong together only while nobody writes them
            return self._accept(self.data(), now=now)

    def data(self) -> bytes:
        """The kept file's bytes, not verified. Raises ManifestRefused if there is none, or it is too large."""
        try:
            with self.path.open("rb") as file:
                return file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            raise ManifestRefused(
                self.path.name, found="no file", expected="a manifest", hint="get it again from the gateway, or join"
            ) from None

    def highest_version(self) -> int:
        """The highest version that was ever taken here; 0 before the first."""
        known = self._known()
        return known.version if known else 0

    def _accept(self, data: bytes, *, now: datetime) -> Manifest:
        manifest, known = open_manifest(data, now=now), self._known()
        if known is None:
            raise ManifestRefused(
                self.path.name,
                found="none that was pinned",
                expected="one whose fingerprint was compared",
                hint="join first: fedcredit node join FILE --fingerprint ...",
            )
        _check_not_older(manifest, data, known)
        _check_heirs(manifest, data, known)
        self._keep(manifest, data)
        return manifest

    def _keep(self, manifest: Manifest, data: bytes) -> None:
        # The manifest first: were it the other way round, a crash in between would leave an older one than was seen.
        if not self.path.exists() or self.data() != data:
            write_whole(self.path, data)
        body = {
            "schema": 1,
            "consortium": manifest.consortium,
            "version": manifest.version,
            "sha256": manifest_digest(data),
            "threshold": manifest.threshold,
            "officers": {name: identity.to_bytes().hex() for name, identity in manifest.officers.items()},
        }
        text = json.dumps(body, ensure_ascii=False, sort_keys=True).encode()
        if not self.highest.exists() or self.highest.read_bytes() != text:
            write_whole(self.highest, text)

    def _known(self) -> _Highest | None:
        try:
            raw = json.loads(self.highest.read_bytes())
            body = build(_HighestBody, raw, where=self.highest.name, complete=True)
            named = {name: identity_of(key, where=self.highest.name) for name, key in body.officers.items()}
        except FileNotFoundError:
            return None
        except (ConfigError, ValueError, RecursionError):
            raise ManifestRefused(
                self.highest.name,
                found="other content",
                expected="the highest version seen",
                hint="restore the folder from its backup; else delete the file and join again with the fingerprint",
            ) from None
        return _Highest(body.version, body.sha256, Officers(body.consortium, body.version, body.threshold, named))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time, so that of two that come together the newer one stays."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Not for writing: who only reads may have the folder on a disk that is read-only.
        lock = os.open(self.path.with_name(f".{self.path.stem}.lock"), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


@dataclass(frozen=True)
class _HighestBody:
    schema: int
    consortium: str
    version: int
    sha256: str
    threshold: int
    officers: Mapping[str, str]


def _check_not_older(manifest: Manifest, data: bytes, known: _Highest) -> None:
    if manifest.consortium != known.officers.consortium:
        raise ManifestRefused(
            KIND,
            found=f"that of {manifest.consortium}",
            expected=f"that of {known.officers.consortium}",
            hint="one folder belongs to one consortium; take another FEDCREDIT_HOME",
        )
    if manifest.version < known.version:
        raise ManifestRefused(
            KIND,
            found=f"version {manifest.version}",
            expected=f"{known.version} or newer",
            hint="somebody has put back an older one; get the newest from the platform, and ask who it was",
        )
    if manifest.version == known.version and manifest_digest(data) != known.sha256:
        raise ManifestRefused(
            KIND,
            found=f"other content under version {manifest.version}",
            expected="the one that was seen",
            hint="the officers have signed two different manifests of one version; telephone them",
        )


def _check_heirs(manifest: Manifest, data: bytes, known: _Highest) -> None:
    """Return if the officers known before, or those to whom they have handed over, have signed it too."""
    follow(manifest.handovers, known=known.officers, version=manifest.version).open(data, kind=KIND)


def manifest_digest(data: bytes) -> str:
    """SHA-256 of what the officers have signed: the same however many of them have."""
    return hashlib.sha256(canonical(peek(data, kind=KIND))).hexdigest()
