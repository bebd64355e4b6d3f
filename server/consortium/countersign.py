"""A copy of what waits for signatures gets an officer's, on the officer's own machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedcredit.errors import ConfigError
from fedcredit.trust.envelope import MAX_FILE_BYTES
from fedcredit.trust.handover import officers_in
from fedcredit.trust.keys import Identity
from fedcredit.trust.manifest import Manifest, open_manifest
from server.consortium.pending import Pending, required_pending, write_pending


@dataclass(frozen=True)
class Countersigned:
    """The change as it was signed, and the manifest that it is to change."""

    change: Pending
    current: Manifest


def countersigned(copy: Path, *, manifest: Path, key: Path, is_rehearsal: bool = False) -> Countersigned:
    """Sign the copy in its place. A rehearsal only reads it.

    Raises:
        ConfigError: a file is missing, the change does not follow on the manifest, or the key is of nobody who signs.
        SealBroken, ManifestRefused: the manifest is none.
        KeyFileRefused: the key file is missing or open to others.
    """
    change = required_pending(copy)
    try:
        with manifest.open("rb") as file:
            current = open_manifest(file.read(MAX_FILE_BYTES + 1))
    except FileNotFoundError:
        raise ConfigError(
            "--manifest", found=f"no file {manifest}", expected="a copy of the consortium's manifest.json"
        ) from None
    new = officers_in(change.handover.encode()) if change.handover else None
    draft = None if new else change.draft()
    named = (new.consortium, new.version) if new else (draft.consortium, draft.version) if draft else ("", 0)
    if named != (current.consortium, current.version + 1):
        raise ConfigError(
            "--manifest",
            found=f"version {current.version} of {current.consortium}",
            expected=f"the one before version {named[1]} of {named[0]}",
        )
    officer = Identity.load(key)
    may_sign = [*current.officers.values(), *(new.identities if new else draft.officers if draft else {}).values()]
    if officer.public.fingerprint not in {identity.fingerprint for identity in may_sign}:
        raise ConfigError("--officer", found=f"{key.name}, of nobody who may sign", expected="an officer's key")
    if not is_rehearsal:
        change = change.signed([officer])
        write_pending(copy, change)
    return Countersigned(change, current)
