"""A manifest becomes what a person wants to see of it: who is in, who signs, what is allowed, until when."""

from __future__ import annotations

from typing import Any

from fedcredit.trust.fingerprint import spaced
from fedcredit.trust.manifest import Manifest
from fedcredit.trust.words import moment_text


def summary(manifest: Manifest) -> dict[str, Any]:
    """The manifest without its long keys, as `members --json` prints it."""
    return {
        "consortium": manifest.consortium,
        "version": manifest.version,
        "issued": moment_text(manifest.issued),
        "expires": moment_text(manifest.expires),
        "fingerprint": manifest.root_fingerprint,
        "gateway": manifest.gateway,
        "threshold": manifest.threshold,
        "officers": {name: identity.fingerprint for name, identity in manifest.officers.items()},
        "members": [
            {
                "name": one.name,
                "status": one.status,
                "since": moment_text(one.since),
                "identity": one.identity.fingerprint,
                "certificate": one.certificate,
            }
            for one in manifest.members
        ],
        "operators": [
            {"name": one.name, "status": one.status, "since": moment_text(one.since), "certificate": one.certificate}
            for one in manifest.operators
        ],
        "studies": [
            {
                "study": one.study,
                "purpose": one.purpose,
                "bundles": list(one.bundles),
                "until": moment_text(one.until),
            }
            for one in manifest.studies
        ],
        "packages": {one.name: one.version for one in manifest.packages},
    }


def summary_lines(manifest: Manifest) -> list[str]:
    """The same for a person."""
    rows = [(one.name, "member", one.status, one.since, one.identity.fingerprint[:16]) for one in manifest.members]
    rows += [(one.name, "operator", one.status, one.since, one.certificate[:16]) for one in manifest.operators]
    width = max([4, *(len(name) for name, *_ in rows)])
    return [
        f"{manifest.consortium}: version {manifest.version}, until {manifest.expires:%Y-%m-%d}, {manifest.gateway}",
        f"fingerprint {spaced(manifest.root_fingerprint)}",
        f"{manifest.threshold} of {', '.join(manifest.officers)} sign",
        f"{'NAME':{width}}  ROLE      STATUS   SINCE       KEY",
        *(f"{name:{width}}  {role:8}  {status:7}  {since:%Y-%m-%d}  {key}" for name, role, status, since, key in rows),
        *(f"study {one.study}: {one.purpose}, until {one.until:%Y-%m-%d}" for one in manifest.studies),
    ]
