"""Two versions of a manifest become the list of what differs: what an officer reads before signing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from fedcredit.trust.certificates import certificate_digest
from fedcredit.trust.envelope import canonical
from fedcredit.trust.manifest import Manifest
from fedcredit.trust.words import moment_text


def changes(old: Manifest | None, new: Manifest) -> list[str]:
    """One line for each thing that the new version adds, takes away or changes, so that nobody signs it unseen."""
    if old is None:
        return [f"a new consortium {new.consortium}: {new.threshold} of {', '.join(new.officers)} sign"]
    lines = [f"version {old.version} -> {new.version}, until {moment_text(new.expires)}"]
    for what, before, after in (
        ("officers sign", f"{old.threshold} of {len(old.officers)}", f"{new.threshold} of {len(new.officers)}"),
        ("gateway", old.gateway, new.gateway),
        ("authority", _authority(old), _authority(new)),
    ):
        if before != after:
            lines.append(f"{what}: {before} -> {after}")
    lines += _listed("officer", _officers(old), _officers(new))
    lines += _listed("member", _members(old), _members(new))
    lines += _listed("operator", _operators(old), _operators(new))
    lines += _listed("study", _studies(old), _studies(new))
    lines += _listed("package", _packages(old), _packages(new))
    if old.handovers != new.handovers:
        lines.append(f"handovers of the officers: {len(old.handovers)} -> {len(new.handovers)}")
    return lines


def _listed(what: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*old, *new}):
        if name not in old:
            yield f"+ {what} {name}: {new[name]}"
        elif name not in new:
            yield f"- {what} {name}"
        elif old[name] != new[name]:
            yield f"! {what} {name}: {old[name]} -> {new[name]}"


def _officers(manifest: Manifest) -> dict[str, str]:
    return {name: identity.fingerprint[:16] for name, identity in manifest.officers.items()}


def _members(manifest: Manifest) -> dict[str, str]:
    # A name may be there several times: what was revoked, and what holds now.
    return {
        f"{one.name} [{one.identity.fingerprint[:16]}]": f"{one.status}, certificate {one.certificate[:16]}, "
        f"flower key {one.flower_key[-16:]}"
        for one in manifest.members
    }


def _operators(manifest: Manifest) -> dict[str, str]:
    return {f"{one.name} [{one.certificate[:16]}]": one.status for one in manifest.operators}


def _studies(manifest: Manifest) -> dict[str, str]:
    return {
        one.study: f"{one.purpose}, bundles {', '.join(digest[:16] for digest in one.bundles)}, until "
        f"{moment_text(one.until)}, task schema {hashlib.sha256(canonical(one.schema)).hexdigest()[:16]}"
        for one in manifest.studies
    }


def _packages(manifest: Manifest) -> dict[str, str]:
    return {one.name: f"{one.version} {one.sha256[:16]}" for one in manifest.packages}


def _authority(manifest: Manifest) -> str:
    count = manifest.authority.count("BEGIN CERTIFICATE")
    return f"{certificate_digest(manifest.authority, most=2)[:16]}{' and the one before' if count > 1 else ''}"
