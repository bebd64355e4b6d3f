"""A consortium's folder becomes its manifest in force, and what its officers have signed becomes the next one."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fedcredit.errors import ConfigError, PolicyRefused
from fedcredit.link.authority import Authority
from fedcredit.trust.files import write_whole
from fedcredit.trust.handover import officers_in
from fedcredit.trust.joining import finish_join
from fedcredit.trust.keys import Identity
from fedcredit.trust.manifest import Manifest, ManifestFile, open_manifest, seal_manifest
from fedcredit.trust.membership import MAX_HANDOVERS
from fedcredit.trust.software import installed
from server.certified import certify_servers
from server.consortium import officers
from server.consortium.authorities import settle
from server.consortium.certificates import retire
from server.consortium.pending import Missing, Pending, read_pending, write_pending
from server.consortium.settings import Places, Settings, read_settings, write_settings


class ChangeWaits(PolicyRefused):
    """Another change still waits for signatures; one version is made after the other."""

    code = "pending"


@dataclass(frozen=True)
class Published:
    """A new version is in force; `answers` are the .fcjoin files that it made, by name."""

    manifest: Manifest
    answers: Mapping[str, Path]


@dataclass(frozen=True)
class Waiting:
    """The change is kept until others have signed too."""

    change: str
    missing: Mapping[str, Missing]

    def __str__(self) -> str:
        return "; ".join(f"{group}: {missing}" for group, missing in self.missing.items())


Outcome = Published | Waiting


@dataclass(frozen=True)
class Consortium:
    """A consortium in its folder, at the platform."""

    places: Places
    settings: Settings

    @classmethod
    def create(
        cls, folder: Path, settings: Settings, *, by: Sequence[str], threshold: int, now: datetime
    ) -> tuple[Consortium, Outcome]:
        """A new consortium: authority, officers' keys, version 1 of the manifest signed by the keys that lie here.

        Raises:
            ConfigError: there is one in the folder already, or officers and threshold do not fit.
        """
        self = cls(Places(folder), settings)
        if self.places.settings.exists():
            raise ConfigError("--home", found=f"a consortium in {folder}", expected="an empty folder")
        names = {word.partition("=")[0].strip() for word in by}
        if not 0 < threshold <= len(names):
            raise ConfigError("--threshold", found=f"{threshold} of {len(names)}", expected="1 or more of the officers")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            authority = Authority.create(self.places.authority, name=settings.name, now=now)
            manifest = Manifest(
                consortium=settings.name,
                version=1,
                issued=now,
                expires=now + timedelta(days=settings.manifest_days),
                threshold=threshold,
                officers=officers.named(by, folder=self.places.officers),
                members=(),
                operators=(),
                studies=(),
                packages=tuple(installed()),
                gateway=settings.gateway,
                authority=authority.pem,
            )
            first = Pending("init", seal_manifest(manifest, by=[]).decode())
            outcome = self._advance(first, by=self.keys((), first), now=now)
            write_settings(self.places, settings)  # last, so that an init that broke off is none
        return self, outcome

    @classmethod
    def open(cls, folder: Path) -> Consortium:
        """The consortium in the folder. Raises ConfigError if there is none."""
        places = Places(folder)
        return cls(places, read_settings(places))

    @property
    def file(self) -> ManifestFile:
        """The manifest in force, as every member keeps it too."""
        return ManifestFile(self.places.manifest)

    def current(self) -> Manifest:
        """The manifest in force, verified; also one that has expired, since it is here that a new one is made.

        Raises:
            ManifestRefused, SealBroken: it is missing, was changed, or an older one was put in its place.
        """
        file = self.file
        return file.read(now=open_manifest(file.data()).issued)

    def authority(self) -> Authority:
        """The X.509 authority that issues the certificates of members and operators."""
        return Authority.load(self.places.authority)

    def next_version(self, *, now: datetime, **change: Any) -> Manifest:
        """The manifest after the one in force, with these fields changed."""
        current = self.current()
        expires = now + timedelta(days=self.settings.manifest_days)
        return replace(current, version=current.version + 1, issued=now, expires=expires, **change)

    def keys(self, said: Sequence[str], change: Pending) -> list[Identity]:
        """The officers' keys to sign this change with: the named ones, or all that lie here."""
        may_sign = list(self.current().officers.values()) if self.file.path.exists() else []
        may_sign += (
            officers_in(change.handover.encode()).identities if change.handover else change.draft().officers
        ).values()
        return officers.keys(self.places.officers, said=said, may_sign=may_sign)

    def pending(self) -> Pending | None:
        """What waits for signatures."""
        return read_pending(self.places.pending)

    def prepared(self, change: str, make: Callable[[datetime], Manifest], *, now: datetime) -> Pending:
        """The change that `make` describes: what waits for signatures under this name, if it is just that; else anew.

        So a second officer types what the first has typed, and signs that and nothing else.

        Raises:
            ChangeWaits: what waits under this name is something else.
        """
        waiting = self.pending()
        if waiting is None or waiting.change != change or not waiting.manifest:
            return Pending(change, seal_manifest(make(now), by=[]).decode())
        draft = waiting.draft()
        if draft == self.current():  # in force; a crash kept the rest from being done
            return waiting
        if make(draft.issued) != draft or waiting.answers:
            raise ChangeWaits(
                self.places.pending.name,
                found=f"{change!r} with other content",
                expected="what this command says",
                hint="look at it with fedcredit consortium sign --dry-run; start anew with consortium sign --drop",
            )
        return waiting

    def propose(self, change: Pending, *, by: Sequence[Identity], now: datetime) -> Outcome:
        """Sign the change; it is in force if that was enough, and waits otherwise.

        Raises:
            ChangeWaits: another change waits already.
        """
        with self._locked():
            waiting = self.pending()
            if waiting is not None and waiting.change != change.change:
                raise ChangeWaits(
                    "change",
                    found=f"{waiting.change!r}, which waits for signatures",
                    expected="one change at a time",
                    hint="fedcredit consortium sign, or fedcredit consortium sign --drop",
                )
            return self._advance(change, by=by, now=now)

    def drop(self) -> str | None:
        """Forget the change that waits. Gives what it was."""
        with self._locked():
            waiting = self.pending()
            self.places.pending.unlink(missing_ok=True)
        return waiting.change if waiting else None

    def _advance(self, change: Pending, *, by: Sequence[Identity], now: datetime) -> Outcome:
        change = change.signed(by)
        current = self.current() if self.file.path.exists() else None
        missing = change.missing(current)
        # Also what is complete is kept until its answers are written: after a crash it is signed again, to no effect.
        write_pending(self.places.pending, change)
        if missing:
            return Waiting(change.change, missing)
        if change.handover:
            return self._advance(self._after(change, now=now), by=by, now=now)
        return self._publish(change, now=now)

    def _after(self, change: Pending, *, now: datetime) -> Pending:
        """The manifest in which the new officers have taken over, to be signed by them."""
        current, new = self.current(), officers_in(change.handover.encode())
        manifest = replace(
            self.next_version(now=now),
            version=new.version,
            threshold=new.threshold,
            officers=new.identities,
            handovers=(*current.handovers, change.handover)[-MAX_HANDOVERS:],
        )
        return Pending(change.change, seal_manifest(manifest, by=[]).decode())

    def _publish(self, change: Pending, *, now: datetime) -> Published:
        data = change.manifest.encode()
        manifest = open_manifest(data, now=now)
        file = self.file
        _check_next(manifest, self.current() if file.path.exists() else None)
        # History first: a version that is in force is never missing in it. All of this may be done twice.
        write_whole(self.places.version(manifest.version), data, mode=0o644)
        if file.highest_version() == 0:
            file.pin(data, fingerprint=manifest.root_fingerprint, now=now)
        else:
            file.accept(data, now=now)
        settle(self.places, manifest)
        retire(self.places, manifest)
        answers = {}
        for one in change.answers:
            answers[one.name] = self.places.answer(one.name, role=one.role)
            write_whole(answers[one.name], finish_join(one.draft.encode(), manifest=data, role=one.role), mode=0o644)
        self.places.pending.unlink(missing_ok=True)
        certify_servers(self.places, self.settings)  # after a change of authority; what is served by then follows
        return Published(manifest, answers)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One change at a time, also of two people at two terminals."""
        with (self.places.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _check_next(manifest: Manifest, current: Manifest | None) -> None:
    """Return if this is the version after the one in force, or that one itself after a crash. Raises ChangeWaits."""
    version = current.version if current else 0
    if manifest.version != version + 1 and manifest != current:
        raise ChangeWaits(
            "change",
            found=f"one made for version {manifest.version}",
            expected=f"version {version + 1}",
            hint="somebody else was faster; run the command again (after fedcredit consortium sign --drop)",
        )
