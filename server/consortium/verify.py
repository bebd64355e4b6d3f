"""Everything in a consortium's folder becomes a list of checks, each of them fine or with its remedy."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from fedcredit.errors import ConfigError, FedCreditError
from fedcredit.link.authority import Authority
from fedcredit.trust.certificates import is_issued_by
from fedcredit.trust.keys import Identity
from fedcredit.trust.manifest import Manifest, ManifestFile, open_manifest
from server.consortium.authorities import serving
from server.consortium.certificates import issued
from server.consortium.home import Consortium
from server.consortium.verify_studies import faults, units

SOON = timedelta(days=21)  # before an end, when somebody should do something


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: fine, or what to do about it. A warning is no fault."""

    name: str
    is_fine: bool
    found: str
    remedy: str = ""
    is_warning: bool = False


def verify(consortium: Consortium, *, now: datetime) -> list[Check]:
    """Check authority, manifest, history, certificates, officers' keys and what waits for signatures."""
    checks = [*_tried("manifest", lambda: _manifest(consortium, now=now))]
    if not checks[0].is_fine and not checks[0].is_warning:
        return checks
    manifest = consortium.current()
    checks += _tried("history", lambda: _history(consortium))
    checks += _tried("authority", lambda: _authority(consortium, manifest, now=now))
    checks += _certificates(consortium, manifest, now=now)
    checks += _tried("officers", lambda: _officers(consortium, manifest))
    checks += _tried("pending", lambda: _pending(consortium, manifest))
    checks += _modes(consortium)
    checks += _studies(consortium)
    return checks


def history(consortium: Consortium) -> list[Path]:
    """The files of all versions, the oldest first. Raises ConfigError if one is missing."""
    paths = sorted(consortium.places.history.glob("*.json"))
    expected = [consortium.places.version(version) for version in range(1, len(paths) + 1)]
    if paths != expected:
        missing = next(path for path in [*expected, *paths] if path not in paths or path not in expected)
        raise ConfigError(
            missing.name, found="a gap in the history", expected="every version", hint="restore it from the backup"
        )
    return paths


def _tried(name: str, look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from look()
    except FedCreditError as fault:
        yield Check(name, False, f"{fault.where}: {fault.found}, expected {fault.expected}", fault.hint)


def _manifest(consortium: Consortium, *, now: datetime) -> Iterator[Check]:
    manifest = consortium.current()
    left = manifest.expires - now
    found = f"version {manifest.version}, {len(manifest.active_members)} members, {left.days} days left"
    remedy = "fedcredit consortium renew"
    if left <= timedelta(0):
        yield Check("manifest", False, f"version {manifest.version} has expired: every node has stopped", remedy, True)
    else:
        yield Check("manifest", left > SOON, found, "" if left > SOON else remedy, left <= SOON)


def _history(consortium: Consortium) -> Iterator[Check]:
    """Go through all versions as a member would who has been there from the first."""
    paths = history(consortium)
    with tempfile.TemporaryDirectory() as folder:
        member = ManifestFile(Path(folder) / "manifest.json")
        for path in paths:
            data = path.read_bytes()
            manifest = open_manifest(data)
            if path != consortium.places.version(manifest.version):
                raise ConfigError(path.name, found=f"version {manifest.version}", expected="the one that it is called")
            if member.highest_version() == 0:
                member.pin(data, fingerprint=manifest.root_fingerprint, now=manifest.issued)
            else:
                member.accept(data, now=manifest.issued)
        in_force = open_manifest(consortium.file.data())
        latest = member.read(now=in_force.issued)
    if latest != in_force:
        raise ConfigError(paths[-1].name, found="another manifest than the one in force", expected="the same")
    yield Check("history", True, f"{len(paths)} versions, each signed by those that the one before names")


def _authority(consortium: Consortium, manifest: Manifest, *, now: datetime) -> Iterator[Check]:
    authority = Authority.load(consortium.places.authority)
    if authority.pem.strip() not in manifest.authority or serving(consortium.places).pem not in manifest.authority:
        raise ConfigError("ca.crt", found="another authority than the manifest's", expected="the same")
    end = authority.certificate.not_valid_after_utc
    is_soon = end - now < timedelta(days=consortium.settings.certificate_days)
    remedy = "certificates would end with it: fedcredit consortium rotate authority" if is_soon else ""
    yield Check("authority", not is_soon, f"until {end:%Y-%m-%d}", remedy, is_soon)
    if consortium.places.old_authority.exists():
        yield Check(
            "authority", False, "a change that is not finished", "fedcredit consortium rotate authority --finish", True
        )


def _studies(consortium: Consortium) -> Iterator[Check]:
    """Hold each unit's status, log, checkpoints and result against each other."""
    folder = consortium.places.folder / "studies"
    remedy = "resume it, which goes on from the last whole checkpoint; or restore it from the backup"
    bad = [(unit, fault) for unit in units(folder) for fault in faults(unit)]
    for unit, fault in bad:
        yield Check(f"study {unit.relative_to(folder)}", False, fault, remedy)
    if not bad:
        yield Check("studies", True, f"{len(units(folder))} units, each agrees with its checkpoints")


def _certificates(consortium: Consortium, manifest: Manifest, *, now: datetime) -> Iterator[Check]:
    authorities = [Authority.load(consortium.places.authority).certificate]
    if consortium.places.old_authority.exists():
        authorities.append(Authority.load(consortium.places.old_authority).certificate)
    named = [(one.name, one.certificate) for one in manifest.active_members]
    named += [(one.name, one.certificate) for one in manifest.active_operators]
    for name, digest in named:
        leaf = issued(consortium.places, digest)
        if leaf is None:
            remedy = "restore certificates/ from the backup"
            yield Check(f"certificate of {name}", False, "issued elsewhere, or lost here", remedy, True)
        elif not any(is_issued_by(leaf, authority) for authority in authorities):
            yield Check(f"certificate of {name}", False, "of another authority", "rotate member", False)
        else:
            end = leaf.not_valid_after_utc
            is_soon = end - now < SOON
            remedy = "they send a new request: fedcredit consortium rotate member X.fcreq" if is_soon else ""
            yield Check(f"certificate of {name}", end > now + SOON, f"until {end:%Y-%m-%d}", remedy, is_soon)


def _officers(consortium: Consortium, manifest: Manifest) -> Iterator[Check]:
    here = {Identity.load(path).public.fingerprint for path in sorted(consortium.places.officers.glob("*.key"))}
    lying = [name for name, identity in manifest.officers.items() if identity.fingerprint in here]
    found = f"{manifest.threshold} of {len(manifest.officers)} sign; keys that lie here: {', '.join(lying) or 'none'}"
    is_open = len(lying) >= manifest.threshold
    remedy = "whoever has this folder signs alone: let each officer take their key away" if is_open else ""
    yield Check("officers", not is_open, found, remedy, is_open)


def _pending(consortium: Consortium, manifest: Manifest) -> Iterator[Check]:
    waiting = consortium.pending()
    if waiting is None:
        yield Check("pending", True, "nothing waits for signatures")
        return
    missing = "; ".join(f"{group}: {one}" for group, one in waiting.missing(manifest).items())
    remedy = "they run: fedcredit consortium sign"
    yield Check("pending", False, f"{waiting.change!r} waits for {missing or 'nobody'}", remedy, True)


def _modes(consortium: Consortium) -> Iterator[Check]:
    places = consortium.places
    private = [path for path in sorted(places.folder.rglob("*.key")) if path.is_file()]
    loose = [path.name for path in private if stat.S_IMODE(path.stat().st_mode) & 0o077]
    found = f"{len(private)} key files, open to others: {', '.join(loose) or 'none'}"
    yield Check("key files", not loose, found, "chmod 600 them, and think about who has read them" if loose else "")
